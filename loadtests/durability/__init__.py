"""What `bench_durability`, `bench_herd`, `bench_resume` and `bench_scaling` are made of.

`questions` and `reader` ask as people do and read as the page does; `crew` is many of them; `faults` breaks
parts of a stack; `truth` asks the emulators and the database what really happened; `pauses` and `verdict` are
pure rules over what was written down.
"""
