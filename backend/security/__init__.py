"""Who asks (keys, cookies), and what is not to be trusted (text from outside)."""
