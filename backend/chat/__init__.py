"""The read path: a run, the answer it follows, its prompt and budgets."""
