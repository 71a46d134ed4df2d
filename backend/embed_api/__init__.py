"""The HTTP side of `libriassist serve-embeddings`: an application of its own: one model, no documents."""
