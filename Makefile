# Two commands do all: `make demo` and `make test`. Each sets up what it needs in .venv, once.

PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv/demo-ready
READY := .venv/ready
# Every command that asks for one gets the same Python; what else is in the environment reaches uv, as UV_TORCH_BACKEND.
export PYTHON
# What the tests hold figures of, and the torch whose CUDA libraries are the smaller ones: renewed by hand.
HELD := torch==2.13.0 bm25s==0.3.16 PyStemmer==3.1.0

.PHONY: demo test unit test-pythons test-processors test-newest test-lowest test-matrix test-wheel engines lint docs soak coverage lock clean

demo: $(DEMO)
	$(BIN)/pixie demo

test: $(READY) lint  # everything
	$(BIN)/python -m pytest -n auto --dist loadgroup

QUICK := tests/unit tests/contract tests/property --ignore tests/unit/encoder --ignore tests/unit/evaluation -m "not new_process and not server"

unit: $(READY)  # in about a minute: unit, contract and property tests at small figures, but for the encoder's
	PIXIE_QUICK=1 $(BIN)/python -m pytest -q -n auto $(QUICK)

test-pythons:  # lint, types and the quick tests on every Python from 3.10 on that the machine has: PYTHONS="3.12" for some
	sh tests/pythons.sh $(PYTHONS)

test-processors: $(READY)  # the quick tests and the encoder's as on older processors
	ATEN_CPU_CAPABILITY=default sh tests/processor.sh
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell sh tests/processor.sh

test-newest:  # the quick tests with the newest of everything
	LOCK=/dev/null sh tests/environment.sh .venv-newest --upgrade --editable '.[all,engines,ray]' --group dev
	PIXIE_QUICK=1 .venv-newest/bin/python -m pytest -q -n auto $(QUICK)

test-lowest:  # the quick tests with the lowest that pyproject.toml admits, on Python 3.10
	LOCK=/dev/null sh tests/environment.sh .venv-lowest --resolution lowest-direct --editable '.[all,engines,ray]' --group dev
	PIXIE_QUICK=1 .venv-lowest/bin/python -m pytest -q -n auto $(QUICK)

test-matrix: $(READY)  # the adapters with the lowest and the newest frameworks, and with one framework alone: ROWS="..." for some
	sh tests/matrix.sh $(ROWS)

test-wheel: $(READY)  # the quick tests of the built wheel, in a folder where the package's source is not
	rm -rf build/wheel
	$(BIN)/python -m hatchling build --target wheel --directory build/wheel
	cp -R tests docs examples pyproject.toml Makefile README.md CHANGELOG.md LICENSE .github .mkdocs.yml build/wheel
	sh tests/environment.sh .venv-wheel --reinstall-package pixie-retrievers \
		"$$(ls build/wheel/*.whl)[all,engines,ray]" --group dev
	cd build/wheel && PIXIE_QUICK=1 ../../.venv-wheel/bin/python -m pytest -q -n auto $(QUICK)

engines: $(READY)  # the tests that ask OpenSearch, Elasticsearch, Milvus and Qdrant
	PIXIE_REQUIRE_ENGINES=1 $(BIN)/python -m pytest -q -n auto --dist loadgroup -m server

soak: $(READY)  # the reliability tests with figures for a night, and a table of what was held
	PIXIE_SOAK=1 $(BIN)/python -m pytest -q tests/crash tests/security tests/property tests/compat

coverage: $(READY)  # which lines and branches no test reaches
	$(BIN)/python -m pytest -q -n auto --dist loadgroup --cov --cov-report term-missing:skip-covered

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs:  # the documentation's site, in build/site: every page, every link, every public name
	@sh tests/environment.sh .venv-docs --group docs
	.venv-docs/bin/mkdocs build --strict --config-file .mkdocs.yml

lock: $(READY)  # the newest versions of everything, for every Python and system; then run the tests
	printf '%s\n' $(HELD) > .venv/held.txt
	UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
		--all-extras --group dev --group docs --constraint .venv/held.txt --no-annotate --output-file tests/lock.txt pyproject.toml

$(DEMO): pyproject.toml tests/lock.txt tests/environment.sh
	@echo 'Setting up .venv, once. The first time fetches about 3 GB, nearly all of it torch (README: less without a GPU).'
	@sh tests/environment.sh .venv --editable '.[encoder]'
	@touch $@

$(READY): $(DEMO)
	@sh tests/environment.sh .venv --editable '.[all,engines,ray]' --group dev
	@touch $@

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
