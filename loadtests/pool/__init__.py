"""What `bench_pool` is made of: arrivals, emulated machines, client processes, contenders, measurements.

Modules of three kinds: those that run things (fleet, nginx, crew, worker, contenders), those that read what
happened (records, attempts), and pure rules (arrivals, machines, idle, flow, fairness, honesty, figures).
"""
