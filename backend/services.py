"""What api may use."""
