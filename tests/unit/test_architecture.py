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

PICTURE = (Path(__file__).parents[2] / "docs/architecture.md").read_text(encoding="utf-8")


def levels():
    """The parts of the package as docs/architecture.md draws them, a set a line, from top to bottom."""
    lines = re.findall(r"^ {4,}(?:-> )?(\w+(?: \| \w+)*)$", PICTURE.split("Arrows point down only")[1], re.MULTILINE)
    return [set(line.split(" | ")) for line in lines]


LEVELS = levels()
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
    "ray": {"ray_data"},
    "mcp": {"mcp_server"},
    "typer": {"cli"},
    "starlette": {"explore"},
    "jinja2": {"explore"},
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


def target_of(name):
    """The path, below the package, that an imported name of the package leads to: a module, or a package's own."""
    first, *rest = name.split(".")[1:]
    if first == "__version__":
        return None
    parts = [*pixie_retrievers._HOMES.get(first, "errors" if first in errors.__all__ else first).split("."), *rest]
    while parts:
        for path in (PACKAGE.joinpath(*parts[:-1], parts[-1] + ".py"), PACKAGE.joinpath(*parts, "__init__.py")):
            if path.exists():
                return path
        parts.pop()
    raise AssertionError(name)


def own_imports(path):
    targets = {target_of(name) for name in imports_of(path) if name.startswith("pixie_retrievers.")}
    return targets - {None, path}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    part = part_of(path)
    level = next(n for n, parts in enumerate(LEVELS) if part in parts)
    below = set().union(*LEVELS[level + 1 :])
    for target in own_imports(path):
        assert part_of(target) in below | {part}, f"{part} must not import {part_of(target)}"
    for name in imports_of(path):
        first = name.split(".")[0]
        if first in HOMES:
            assert part in HOMES[first], f"{part} must not import {first}"


def test_no_two_modules_import_each_other_not_even_by_a_detour():
    imports = {path: own_imports(path) for path in MODULES}
    while leaves := {path for path, targets in imports.items() if not targets & imports.keys()}:
        imports = {path: targets for path, targets in imports.items() if path not in leaves}
    assert {str(path.relative_to(PACKAGE)) for path in imports} == set()


def test_the_picture_shows_every_module_and_nothing_else():
    drawn, folders = set(), []
    for line in PICTURE.split("```")[1].splitlines()[2:]:
        depth = (len(line) - len(line.lstrip())) // 2
        for name in line.split("  ")[depth].split(", ") if line.strip() else ():
            folders = folders[: depth - 1]
            if name.endswith("/"):
                folders.append(name.rstrip("/"))
                drawn.add("/".join(folders))
            elif name.endswith(".py"):
                drawn.add("/".join([*folders, name]))
    there = {path.relative_to(PACKAGE) for path in MODULES if path.name != "__init__.py"}
    explained = {str(path) for path in there if path.parts[0] != "cli"}  # one file a command needs no list
    assert explained <= drawn
    assert {name for name in drawn if not (PACKAGE / name).exists()} == set()


def test_every_part_has_its_arrows():
    assert {part_of(path) for path in MODULES} == set().union(*LEVELS)


COMPILED_SEARCH = {"scoring", "ranking", "intrinsics", "compilation"}


def test_only_the_store_imports_sqlitedict_and_kernels_see_arrays_only():
    for path in MODULES:
        # The compiled search is cut into modules that use each other.
        own = COMPILED_SEARCH if path.stem in COMPILED_SEARCH else {"compilation"}
        names = {name.split(".")[0] for name in imports_of(path) if not own.intersection(name.split("."))}
        if "sqlitedict" in names:
            assert path.name == "write_store.py"
        if path.name == "compilation.py":
            assert names <= {"__future__", "typing", "collections", "functools", "logging", "numba"}
        elif "numba" in names or path.stem == "kernels":
            assert path.name in ("kernels.py", "scoring.py", "ranking.py", "intrinsics.py")
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
    assert sorted([*(name for name, _ in drawn), "PixieWarning"]) == errors.__all__
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
