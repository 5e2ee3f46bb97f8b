# Two commands do all: `make demo` and `make test`. Each sets up what it needs in .venv, once.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-matrix lint soak clean

demo: $(READY)
	$(BIN)/pixie demo

test: $(READY) lint
	$(BIN)/python -m pytest

soak: $(READY)  # the reliability tests with figures for a night, and a table of what was held
	PIXIE_SOAK=1 $(BIN)/python -m pytest -q tests/crash tests/security tests/property tests/compat

test-matrix:  # the adapters with the lowest and the newest frameworks, and with one framework alone: ROWS="..." for some
	PYTHON=$(PYTHON) sh tests/matrix.sh $(ROWS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

$(READY): pyproject.toml tests/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint tests/constraints.txt --editable '.[all]' --group dev
	touch $@

clean:
	rm -rf .venv .venv-matrix .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
