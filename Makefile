# Two commands for a fresh machine: `make demo`, `make test`. For every edit: `make check`.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
MINIMUM := 3.11

.PHONY: demo test check format setup fleet-tools clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed  ## the environment in .venv

# Any Python of at least 3.11 will do; PYTHON=... names another one.
$(VENV)/.installed: pyproject.toml
	@py=""; for p in $(PYTHON) python3 python3.13 python3.12; do \
	  if $$p -c 'import sys; sys.exit(sys.version_info < tuple(map(int, "$(MINIMUM)".split("."))))' 2>/dev/null; then py=$$p; break; fi; done; \
	if [ -z "$$py" ]; then \
	  echo "towline needs Python $(MINIMUM) or newer; sought: $(PYTHON), python3, python3.13, python3.12." >&2; \
	  echo "Get one: 'apt install python3.11 python3.11-venv', 'dnf install python3.11' or https://www.python.org/downloads/;" >&2; \
	  echo "then: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; fi; \
	echo "building the environment in $(VENV) with $$($$py --version)"; \
	$$py -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup  ## the main job on embedded defaults: a good rollout, then a bad one that is compensated (KEEP=1: stays up)
	@$(BIN)/python -m examples.demo $(if $(KEEP),--keep)

check: setup  ## format, lint, strict types, fast tests: within a minute
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/vermin --quiet --no-tips -t=3.6- towline/host/runner.py && $(BIN)/pytest -m 'not slow and not fleet' -x

format: setup
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format --quiet .

test: check  ## everything, on real parts
	@$(BIN)/pytest -m 'slow or fleet'

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
