"""What the console commands do. `__main__` reads the arguments and calls one function here."""
