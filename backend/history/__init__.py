"""Conversations: earlier turns, their sources, and what readers thought of them."""
