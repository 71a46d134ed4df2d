"""Which instance answers, and when: slots, queue, health, dispatch."""
