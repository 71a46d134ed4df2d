"""Load tests, benchmarks and the emulator; run with `python -m loadtests.NAME`."""
