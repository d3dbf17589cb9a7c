# One verb for each daily act. Everything runs from a fresh clone: Python 3.11 or newer and make.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
# The parser in C has to be compiled on Linux; a machine without a compiler does without it.
TRY_FAST = $(PIP) install --editable '.[fast]' >/dev/null 2>&1 \
	|| echo "The HTTP parser in C could not be built; gunicorn's parser in Python is used."

# The first interpreter on the path that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

PORT ?= 7700
DB ?= ./tickets.db
WORKERS ?=
THREADS ?=
ARGS ?=

# Of the benchmark; empty is its own default. A database is taken from the command line only,
# because DB above is the one that is served.
DURABILITY ?=
GENERATOR ?=
QUICK ?=
ONLY ?=
URL ?=
BENCH_DB = $(if $(findstring command line,$(origin DB)),$(DB))

# Processes of a parallel test run; the layers that only compute share the cores.
JOBS ?= auto
PYTEST := $(PY) -m pytest
FAST := $(wildcard tests/domain tests/library tests/db tests/operations tests/http tests/linear tests/contract \
	tests/config)
MORE := $(wildcard tests/fuzz tests/races)
SLOW := $(wildcard tests/stateful tests/process tests/faults)
# What runs a second time, on PostgreSQL; SKIP_POSTGRES=1 leaves that out.
SKIP_POSTGRES ?=
TWICE := $(wildcard tests/operations tests/http tests/linear tests/contract tests/fuzz tests/races \
	tests/process/test_claims_race.py tests/process/test_import_command.py \
	tests/process/test_copy.py tests/process/test_kill.py tests/process/test_metrics.py \
	tests/process/test_opentelemetry.py tests/process/test_dispatch_sweep.py \
	tests/process/test_ticket_walk.py tests/faults/test_failing_tickets.py \
	tests/faults/test_clock.py tests/faults/test_disk_full.py tests/faults/test_dispatch_faults.py \
	tests/faults/test_failing_requests.py \
	tests/faults/test_failing_statements.py tests/faults/test_foreign_lock.py \
	tests/faults/test_kill_loop.py tests/faults/test_stop.py tests/faults/test_ticket_history.py \
	tests/faults/test_linear_kills.py)
# Those that have a moment to be prompt in; all others of their layers run there only as a drill.
TWICE_SLOW := $(wildcard tests/stateful tests/process/test_two_hosts.py \
	tests/process/test_failover.py tests/process/test_long_poll.py \
	tests/faults/test_stalled_network.py)

# How many times as long as usual a drill is.
LONG ?= 1
DRILL = TICKETS_DRILL=$(LONG) $(PYTEST) -m drill

.PHONY: help install serve migrate test test-fast drill format lint types imports api-docs openapi e2e \
	bench wheel check clean

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(PY):
	@test -n "$(PYTHON)" || { \
		echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot create virtual environments: its venv and ensurepip modules are missing." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp for each need: serving wants no test tools. All are renewed when dependencies may have changed.
$(VENV)/.installed: setup.cfg pyproject.toml | $(PY)
	$(PIP) install --editable .
	@$(TRY_FAST)
	@touch $@

$(VENV)/.installed-postgres: setup.cfg pyproject.toml | $(PY)
	$(PIP) install --editable '.[postgres]'
	@$(TRY_FAST)
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(PY)
	$(PIP) install --editable '.[dev]'
	@$(TRY_FAST)
	@touch $(VENV)/.installed $@

$(VENV)/.installed-bench: setup.cfg pyproject.toml | $(PY)
	$(PIP) install --editable '.[bench,postgres]'
	@$(TRY_FAST)
	@touch $(VENV)/.installed $@

install: $(VENV)/.installed-dev ## virtual environment with the service and all development tools

# A database on a server needs a driver.
DRIVER = $(if $(filter postgres%,$(DB)),-postgres)

serve: $(VENV)/.installed$(DRIVER) ## the service on 127.0.0.1:7700 with ./tickets.db (PORT= DB= WORKERS= THREADS= ARGS=)
	@exec $(PY) -m tickets serve --port $(PORT) --db '$(DB)' \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(THREADS),--threads $(THREADS)) $(ARGS)

migrate: $(VENV)/.installed$(DRIVER) ## bring the database DB= up to date and exit
	@$(PY) -m tickets migrate --db '$(DB)' $(ARGS)

test: install ## everything that must hold to land (ARGS= goes to pytest; SKIP_POSTGRES=1)
	$(PYTEST) -n $(JOBS) --dist loadfile $(FAST) $(MORE) $(ARGS)
	$(if $(SLOW),$(PYTEST) $(SLOW) $(ARGS))
	$(if $(SKIP_POSTGRES),,@scripts/test_postgres.sh $(PY))
	$(if $(SKIP_POSTGRES),,$(PYTEST) --database postgres -n $(JOBS) --dist loadfile $(TWICE) $(ARGS))
	$(if $(SKIP_POSTGRES),,$(PYTEST) --database postgres $(TWICE_SLOW) $(ARGS))

test-fast: install ## the inner loop: domain, db, operations, http, contract, config
	$(PYTEST) -q -n $(JOBS) --dist loadfile $(FAST) $(ARGS)

drill: install ## long seeded runs, ~10 min on each database (LONG=3: half an hour; SKIP_POSTGRES=1 ARGS=)
	$(DRILL) $(ARGS)
	$(if $(SKIP_POSTGRES),,@scripts/test_postgres.sh $(PY))
	$(if $(SKIP_POSTGRES),,$(DRILL) --database postgres $(ARGS))

format: install ## format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

lint: install ## Ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install ## mypy, strict
	$(BIN)/mypy

imports: install ## packages depend downwards only
	$(BIN)/lint-imports

api-docs: $(VENV)/.installed ## write docs/api.md from the code and from exchanges with it
	$(PY) scripts/api_docs.py docs/api.md

openapi: $(VENV)/.installed ## write docs/openapi.json from the code
	$(PY) -m tickets openapi > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

e2e: $(VENV)/.installed ## curl through one whole pipeline against a fresh server
	PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/e2e.sh

bench: $(VENV)/.installed-bench ## measure everything, ~10 min (QUICK=1 ONLY= URL= WORKERS= THREADS= DURABILITY= ARGS=)
	@$(PY) -m scripts.bench $(if $(QUICK),--sizes quick) $(ONLY:%=--only %) \
		$(if $(URL),--url '$(URL)') $(if $(BENCH_DB),--db '$(BENCH_DB)') \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(THREADS),--threads $(THREADS)) \
		$(if $(DURABILITY),--durability $(DURABILITY)) \
		$(if $(GENERATOR),--generator $(GENERATOR)) $(ARGS)

wheel: $(VENV)/.installed ## build dist/*.whl
	rm -rf build/lib build/bdist.* dist
	$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist

check: lint types imports test ## what CI runs, in CI's order

clean: ## remove what builds and tests leave behind; keeps databases and the virtual environment
	rm -rf build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find . -path './$(VENV)' -prune -o -name __pycache__ -type d -exec rm -rf {} +
