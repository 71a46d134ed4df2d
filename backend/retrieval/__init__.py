"""Which passages bear on a question: dense and lexical search, fusion, the no-answer gate."""
