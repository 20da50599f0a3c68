# Two commands do everything: `make demo` and `make test`. Each makes .venv first if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint types unit bench install clean help

help:
	@echo "make demo     simulate a mosaic, run the main job on it, say where the report is"
	@echo "make test     lint, types and tests"
	@echo "make bench    benchmarks; the README's table is made from their results"
	@echo "make install  make .venv with everything in it"
	@echo "make clean    remove what the above made"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,fast]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m services.demo demo

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/python -m pytest -q

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
