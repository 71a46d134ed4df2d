"""The log of a generation: shared by all who follow it, replayable from any entry."""
