# Two commands for a fresh machine: `make demo`, `make test`. For every edit: `make check`.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
MINIMUM := 3.11
PIP_INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --editable

.PHONY: help demo test check lint format setup clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.installed-demo  ## a good rollout, then a bad one that is taken back, on this machine (KEEP=1: stays up)
	@exec $(BIN)/python -m examples.demo $(if $(KEEP),--keep)

test: lint  ## lint, strict types and all tests, on real parts: twelve minutes on two cores
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

check: lint  ## lint, strict types and the fast tests: within a minute
	@$(BIN)/pytest -m 'not slow and not fleet' -x -n auto --dist worksteal

lint: setup  ## format, lint, strict types, the runner's Python version
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/vermin --quiet --no-tips -t=3.6- towline/host/runner/*.py towline/host/agent/*.py

format: setup  ## mend the format
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format --quiet .

setup: $(VENV)/.installed  ## the environment in .venv, with all that development needs

clean:  ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The demo needs less than development does, and is there in a fifth of the time.
$(VENV)/.installed-demo: pyproject.toml | $(VENV)/.made
	@echo "installing towline in $(VENV): some seconds, the first time only"; $(PIP_INSTALL) '.[server]'
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "installing towline and its development tools in $(VENV): a minute, the first time only"; $(PIP_INSTALL) '.[dev]'
	@touch $@ $(VENV)/.installed-demo

# Any Python of at least 3.11 that can make environments will do; PYTHON=... names another one.
$(VENV)/.made:
	@py=""; for p in $(PYTHON) python3 python3.13 python3.12; do \
	  if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < tuple(map(int, "$(MINIMUM)".split("."))))' 2>/dev/null; \
	  then py=$$p; break; fi; done; \
	if [ -z "$$py" ]; then \
	  echo "towline needs Python $(MINIMUM) or newer, with venv; sought: $(PYTHON), python3, python3.13, python3.12." >&2; \
	  echo "Get one: 'apt install python3.11 python3.11-venv', 'dnf install python3.11' or https://www.python.org/downloads/;" >&2; \
	  echo "then: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; fi; \
	echo "making $(VENV) with $$($$py --version)"; $$py -m venv --clear $(VENV) && touch $@
