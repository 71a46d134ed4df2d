"""How to speak to a model server. One module per protocol; no knowledge of pools, queues or retries."""
