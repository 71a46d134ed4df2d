"""Settings to Services."""
