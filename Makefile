# `make run` and `make test` need nothing set up beforehand but Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# For `make sim`: the seed of the world, so that a failure is seen again, and how many worlds.
SEED ?= 1
SEEDS ?= 1
# For `make crash`: how often the real program is killed under load.
KILLS ?= 1000
# For `make fuzz`: how long, which target alone, which input to show again.
SECONDS ?= 300
TARGET ?=
INPUT ?=
# For `run`, `demo`, `bench`, `sim`, `test`: words passed on as they are.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test check lint types imports format bench sim scale crash fuzz lock clean

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.run ## start a node here and say where it is
	@$(BIN)/ratoon run $(ARGS)

demo: $(VENV)/.run ## show a small network losing one provider
	@$(BIN)/ratoon demo $(ARGS)

test: lint types imports check ## everything a change must pass

lint: $(VENV)/.dev ## format and lint
	@echo "== format and lint"
	@$(BIN)/ruff format --quiet --check . || { echo "not formatted: run make format"; exit 1; }
	@$(BIN)/ruff check --quiet --output-format concise .

types: $(VENV)/.dev ## check types
	@echo "== types"
	@$(BIN)/mypy --no-error-summary

imports: $(VENV)/.dev ## check who may import whom
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-logo

check: $(VENV)/.dev ## run the tests alone
	@echo "== tests"
	@$(BIN)/python -m pytest -q -n 2 $(ARGS)

format: $(VENV)/.dev ## write the format the lint wants
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix-only --select I .

bench: $(VENV)/.dev ## measure, against the bare limits of this machine
	@$(BIN)/python -m tests.bench $(ARGS)

sim: $(VENV)/.dev ## run simulated worlds: make sim SEED=7, or SEEDS=2000
	@$(BIN)/python -m tests.sim --seed $(SEED) --seeds $(SEEDS) $(ARGS)

crash: $(VENV)/.dev ## kill, fill and starve the real program: make crash KILLS=1000
	@KILLS=$(KILLS) $(BIN)/python -m pytest -q tests/crash $(ARGS)

fuzz: $(VENV)/.dev ## look for inputs that break a promise: make fuzz SECONDS=300 TARGET=codec
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(TARGET),--target $(TARGET)) \
		$(if $(INPUT),--input $(INPUT)) $(ARGS)

scale: $(VENV)/.dev ## simulate 10, 100 and 1,000 nodes (8 GiB, half an hour); ARGS=--nodes=10,100
	@$(BIN)/python -m tests.sim.scale $(ARGS)

# ------------------------------------------------------------------------------ the environment

$(BIN)/python:
	@PYTHON='$(PYTHON)' VENV='$(VENV)' sh .ci/venv

$(VENV)/.run: $(BIN)/python requirements.lock pyproject.toml
	@echo "Installing what requirements.lock names (once, about a minute) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "Installing the tools of requirements-dev.lock (once, about a minute) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --build-deps-for editable

lock: $(VENV)/.dev ## write the lock files anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(COMPILE) $(ARGS) -o requirements.lock pyproject.toml
	@$(COMPILE) $(ARGS) --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

clean: ## remove what was made; never a node's data
	@rm -rf $(VENV) build dist bench-results fuzz-results .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache .coverage
	@find protocol node tests -name __pycache__ -type d -prune -exec rm -rf {} +
