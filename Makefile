# Two commands do all: `make demo` and `make test`. Each sets up what it needs in .venv, once.

PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv/demo-ready
READY := .venv/ready
# Every command that asks for one gets the same Python; what else is in the environment reaches uv, as UV_TORCH_BACKEND.
export PYTHON
# What the tests hold figures of, and the torch whose CUDA libraries are the smaller ones: renewed by hand.
HELD := torch==2.13.0 bm25s==0.3.16 PyStemmer==3.1.0

.PHONY: demo test unit test-pythons test-processors test-newest test-lowest test-matrix lint soak lock clean

demo: $(DEMO)
	$(BIN)/pixie demo

test: $(READY) lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lock: $(READY)  # the newest versions of everything, for every Python and system; then run the tests
	printf '%s\n' $(HELD) > .venv/held.txt
	UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
		--all-extras --group dev --constraint .venv/held.txt --no-annotate --output-file tests/lock.txt pyproject.toml

$(DEMO): pyproject.toml tests/lock.txt tests/environment.sh
	@echo 'Setting up .venv, once. The first time fetches about 3 GB, nearly all of it torch (README: less without a GPU).'
	@sh tests/environment.sh .venv --editable .
	@touch $@

$(READY): $(DEMO)
	@sh tests/environment.sh .venv --editable '.[all]' --group dev
	@touch $@

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
