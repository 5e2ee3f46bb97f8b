"""The house stands as drawn: arrows point down, names are public where they say so, importing costs little."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pixie_retrievers
from pixie_retrievers import errors

PACKAGE = Path(pixie_retrievers.__file__).parent

# What each part of the package may import of the rest. Everything may import types and errors.
ALLOWED = {
    "types": {"errors"},
    "errors": set(),
    "filters": {"filters"},
    "explain": set(),
    "render": set(),
    "fusion": set(),
    "diversity": set(),
    "encoder": {"encoder"},
    "index": {"index", "filters"},
    "indexing": {"encoder", "index"},
    "retriever": {"indexing", "encoder", "index", "diversity", "explain", "filters", "fusion", "render"},
    "tools": {"retriever", "encoder", "index", "filters"},
    "langchain": {"langchain", "tools", "retriever", "encoder", "index", "explain", "filters", "fusion", "render"},
    "llama_index": {"llama_index", "tools", "retriever", "encoder", "index", "explain", "filters", "fusion", "render"},
    "evaluation": {"evaluation", "retriever", "indexing", "encoder", "index", "explain", "filters", "fusion", "render"},
    "cli": {"cli", "evaluation", "retriever", "indexing", "encoder", "index", "explain", "filters", "fusion", "render"},
}
# The only parts that may import these, even inside a function.
HOMES = {
    "torch": {"encoder"},
    "transformers": {"encoder"},
    "sentence_transformers": {"encoder", "evaluation"},
    "huggingface_hub": {"encoder"},
    "numba": {"index"},
    "sqlitedict": {"index"},
    "langchain": {"langchain"},
    "langchain_core": {"langchain"},
    "langchain_milvus": {"langchain"},
    "langchain_qdrant": {"langchain"},
    "llama_index": {"llama_index"},
    "typer": {"cli"},
}


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    part = part_of(path)
    for name in imports_of(path):
        first, *rest = name.split(".")
        if first == "pixie_retrievers":
            target = pixie_retrievers._HOMES.get(rest[0], "errors" if rest[0] in errors.__all__ else rest[0])
            target = target.split(".")[0]
            allowed = ALLOWED[part] | {"types", "errors", "__version__"}
            assert target in allowed, f"{part} must not import {target}"
        elif first in HOMES:
            assert part in HOMES[first], f"{part} must not import {first}"


def test_every_part_has_its_arrows():
    assert {part_of(path) for path in MODULES} <= ALLOWED.keys()


def test_only_the_store_imports_sqlitedict_and_kernels_see_arrays_only():
    for path in MODULES:
        # The compiled search alone uses what is made for compiled loops.
        own = "pixie_retrievers.index.sqlite.intrinsics" if path.name == "scoring.py" else None
        names = {name.split(".")[0] for name in imports_of(path) if own is None or not name.startswith(own)}
        if "sqlitedict" in names:
            assert path.name == "store.py"
        if "numba" in names:
            assert path.name in ("kernels.py", "scoring.py", "intrinsics.py")
            assert names <= {"__future__", "typing", "numpy", "numba"}


def test_public_names_are_sorted_and_there():
    names = pixie_retrievers.__all__
    assert names == sorted(names)
    assert dir(pixie_retrievers) == names
    for name in names:
        assert getattr(pixie_retrievers, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        _ = pixie_retrievers.nothing


def test_the_error_tree_is_drawn_as_it_is():
    drawn = re.findall(r"(?:── |^    )(\w+Error)(?:\((\w+)\))?", errors.__doc__, re.MULTILINE)
    assert sorted(name for name, _ in drawn) == errors.__all__
    for name, builtin in drawn:
        error = getattr(errors, name)
        assert issubclass(error, errors.PixieError)
        if builtin:
            assert builtin in [base.__name__ for base in error.__mro__]
        assert set(errors.__all__) <= set(dir(errors))
    assert issubclass(errors.StorageFullError, errors.StorageError)


def test_importing_the_package_loads_nothing_heavy():
    code = """
import sys
import pixie_retrievers
heavy = {"numpy", "numba", "torch", "transformers", "sentence_transformers", "sqlitedict", "langchain_core",
         "llama_index", "rich", "typer"}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_no_module_holds_two_ideas():
    assert [str(path) for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 420] == []
