# Every target is one short script; CI calls the same ones.

.PHONY: run test test-torch unit coverage check stack stack-stop bench setup setup-dev clean

run: setup            ## a working assistant at http://127.0.0.1:8000, sample documents included
	@scripts/run

test: setup-dev       ## everything is tested; system servers are installed where that is allowed
	@scripts/test

check: setup-dev      ## format, lint, types, layers: seconds
	@scripts/check

unit: setup-dev       ## the tests that start nothing and wait for nothing: a minute
	@scripts/unit

coverage: setup-dev   ## which lines of backend/ the tests reach that run in one process
	@scripts/coverage

stack: setup-dev      ## the scaled shape, until Ctrl-C: make stack REPLICAS=3 WORKERS=2 INSTANCES=3
	@scripts/stack

stack-stop:           ## stop it from another terminal; nothing is left behind
	@.venv/bin/python -m devstack stop

bench: setup-dev      ## every benchmark, quick: make bench DATA=DIR
	@scripts/bench $(DATA)

test-torch: setup-dev ## the embedder against torch, in an environment of its own: a gigabyte, minutes
	@scripts/test-torch

setup:                ## the virtual environment in .venv
	@scripts/setup

setup-dev:            ## the same, and what tests and benchmarks need
	@scripts/setup dev

clean:
	rm -rf .venv .venv-torch build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
