"""What is fitted for one embedder (fusion, gate, weights of quoting), as data, and how it is made."""
