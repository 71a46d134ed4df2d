"""What is fitted for one embedder: the no-answer gate the weights of quoting; as data, and how it is made."""
