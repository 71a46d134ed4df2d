"""Settings to services: the only package that names adapters, and that opens and closes them."""
