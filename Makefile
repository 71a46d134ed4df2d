# Every target is one short script; CI calls the same ones.

.PHONY: run test unit coverage check stack bench setup clean

run: setup            ## a working assistant at http://127.0.0.1:8000, sample documents included
	@scripts/run

test: setup           ## everything is tested; system servers are installed where that is allowed
	@scripts/test

check: setup          ## format, lint, types, layers: seconds
	@scripts/check

unit: setup           ## the tests that start nothing and wait for nothing: a minute
	@scripts/unit

coverage: setup       ## which lines of backend/ the tests reach; at least 80 in 100 without e2e
	@scripts/coverage

stack: setup          ## NGINX, the API, Redis, PostgreSQL and three emulated model servers, until Ctrl-C
	@scripts/stack

bench: setup          ## every benchmark, quick: make bench DATA=DIR
	@scripts/bench $(DATA)

setup:                ## the virtual environment in .venv
	@scripts/setup

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
