# Two commands do everything: `make demo` and `make test`. Each makes .venv first if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint types unit test-cluster bench audit sbom install clean help

help:
	@echo "make demo     simulate a mosaic, run the main job on it, say where the report is"
	@echo "make test     lint, types and tests"
	@echo "make test-cluster  long stories: clusters of several nodes, buckets, nights on end"
	@echo "make bench    benchmarks; the README's table is made from their results"
	@echo "make audit    look the installed packages up in a database of known vulnerabilities"
	@echo "make sbom     write build/sbom.json, the bill of materials (CycloneDX)"
	@echo "make install  make .venv with everything in it"
	@echo "make clean    remove what the above made"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,fast,server]'
	@touch $@

# One synthesis assumed right-handed to learn from; a racemic one and an achiral one to test on.
demo: $(STAMP)
	@test -d demo/synthesis || $(BIN)/tessera simulate demo/synthesis --preset paper --size-px 6144 --seed 1
	@test -d demo/racemic || $(BIN)/tessera simulate demo/racemic --preset paper --size-px 4096 --left-fraction 0.5 --seed 2
	@test -d demo/achiral || $(BIN)/tessera simulate demo/achiral --preset paper --size-px 3072 --achiral --seed 3
	@$(BIN)/tessera run demo/synthesis demo/racemic demo/achiral --archive demo/archive \
	    --assume right --hold-out racemic --hold-out achiral

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Two processes; tests/conftest.py says which files share one and which begin.
unit: $(STAMP)
	$(BIN)/python -m pytest -q -m "not cluster" -n 2 --dist loadfile --no-loadscope-reorder

# Clusters of several nodes on this machine, whole days in a bucket, nights on end: one after another,
# as each takes the whole of it.
test-cluster: $(STAMP)
	$(BIN)/python -m pytest -q -m cluster -p no:xdist tests/stories

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks

# pip-audit is content when it could look nothing up: deploy/audit.py is not.
audit: $(STAMP)
	@mkdir -p build && rm -f build/audit.json
	@$(BIN)/python -m pip_audit --skip-editable --progress-spinner off --format json --output build/audit.json || true
	@$(BIN)/python deploy/audit.py build/audit.json

# In an environment of its own: what it needs makes jsonschema, which every process of Ray imports, a
# second slower.
build/sbom-tool/bin/cyclonedx-py: constraints.txt
	@$(PYTHON) -m venv build/sbom-tool
	@build/sbom-tool/bin/python -m pip install --quiet --constraint constraints.txt cyclonedx-bom
	@touch $@

sbom: $(STAMP) build/sbom-tool/bin/cyclonedx-py
	@build/sbom-tool/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible --output-format JSON --output-file build/sbom.json $(BIN)/python
	@echo "build/sbom.json"

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
