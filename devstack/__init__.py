"""Real servers as processes: for tests, benchmarks and `make stack` alike.

One module for each kind of server, each with a context manager that starts one on a free port, waits until
it answers, and stops it by its process id. What they share is in `child`: output goes to a log file, every
wait has a deadline, and `warden` sees to it that nothing outlives this process, however that ends. Imports
nothing of ours: the application and the emulator are started as programs.
"""
