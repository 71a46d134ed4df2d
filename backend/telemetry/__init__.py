"""Every metric, the log format, and nothing else."""
