"""The write path: parse, chunk, index, flip."""
