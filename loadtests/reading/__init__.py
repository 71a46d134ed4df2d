"""What `bench_reading` measures: one module `part_NAME` for each part, and what they share.

A part has `measure(args, report)`, and `options(parser)` where it needs arguments of its own. `run` reads
files with any checkout's readers.
"""
