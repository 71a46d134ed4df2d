"""Text to unit vectors: models, batching across callers, caching."""
