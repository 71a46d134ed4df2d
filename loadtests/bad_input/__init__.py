"""Inputs that nobody sends by accident, and what the real application makes of them."""
