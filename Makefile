# What a person does with this project. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install format check test demo bench lock

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## make the environment .venv from the lock file, with the dpsync executable

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "dpsync needs Python 3.11 or newer; install the package python3.11 (or newer) and name it: make PYTHON=python3.11" >&2; exit 78; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is missing: install the package python3-venv (sudo apt install python3-venv)" >&2; exit 78; }
	@echo "Making $(VENV) from requirements.lock ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

format: $(READY)  ## rewrite the code in the house format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check: $(READY)  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(READY)  ## everything that must be green, on SQLite and on a real PostgreSQL
	$(BIN)/pytest

demo: $(READY)  ## the whole story on loopback; BREAK=1 makes the vendor lie
	@$(BIN)/dpsync demo $(if $(filter 1,$(BREAK)),--break)

bench: $(READY)  ## measure, and write bench/RESULTS.md
	@$(BIN)/python -m bench

lock:  ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --group dev pyproject.toml \
	  --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock
