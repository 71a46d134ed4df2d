"""Clients of what we stand on: SQL, HTTP, language detection. No rules."""
