"""A double of the Ollama server (v0.30 to v0.33): same bytes, same queues, same ways to fail; no model.

Read in this order: `knobs`, `models`, `clock`; then `runner` (slots and the step loop), `scheduler` (what is
loaded, who waits); then `http`, `generate` and the routes; `faults`, `control` and `truth` for tests.
"""
