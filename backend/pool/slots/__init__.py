"""Slots of all instances and the one queue for them, shared by every process."""
