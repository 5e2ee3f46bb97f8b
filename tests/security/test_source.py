"""The package's source, read: no pickle, no evaluation, no SQL made of values."""

from __future__ import annotations

import ast
from pathlib import Path

import pixie_retrievers

PACKAGE = Path(pixie_retrievers.__file__).parent
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "jsonpickle", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
STORES = ("index/sqlite/read_store.py", "index/sqlite/write_store.py")
INTERPOLATED = {
    "check_table(table)", "marks", "table", "columns", "name", "PAGE_SIZE", "APPLICATION_ID", "setting",
}  # fmt: skip
"""What an SQL statement may be made of: names from a fixed list, placeholders, constants."""
NUMBERS = {
    "round(self._lock_timeout_s * 1000)", "manifest.identity", "_LOG_BYTES", "_FOLDING_MS",
    "_SMALL_FILE >> 10 if is_small else _CACHE_BYTES >> 10",
}  # fmt: skip


def trees():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def called(node):
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def test_nothing_unpickles_and_nothing_evaluates():
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [(name, alias.name) for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
                found.append((name, node.module))
            elif isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                    found.append((name, node.func.id))
                if ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load", "os.system", "os.popen"):
                    found.append((name, ast.unparse(node.func)))
                for keyword in node.keywords:
                    switched_on = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                    if keyword.arg in ("allow_pickle", "trust_remote_code", "shell") and switched_on:
                        found.append((name, keyword.arg))
    assert found == []


def test_sql_is_made_of_fixed_names_and_bound_values_in_two_modules():
    statements = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "DROP ", "PRAGMA ", "ATTACH ", "REPLACE INTO ")
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
                if text.startswith(statements):
                    assert name in STORES, f"{name}:{node.lineno} makes SQL"
                    parts = {ast.unparse(part.value) for part in node.values if isinstance(part, ast.FormattedValue)}
                    assert parts <= INTERPOLATED | NUMBERS, f"{name}:{node.lineno} {parts}"
            if isinstance(node, ast.Call) and called(node) in ("execute", "executemany", "executescript") and node.args:
                assert name in STORES, f"{name}:{node.lineno} runs SQL"
                assert called(node) != "executescript"
                statement = node.args[0]
                assert isinstance(statement, (ast.Constant, ast.JoinedStr, ast.Name)), f"{name}:{node.lineno}"


def test_no_kernel_is_parallel_and_every_one_lets_go_of_the_interpreter():
    decorators = [
        ast.unparse(decorator)
        for module in ("kernels", "scoring", "ranking")
        for node in ast.parse((PACKAGE / f"index/sqlite/{module}.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
    ]
    assert set(decorators) == {"compiled"}
    compilation = ast.parse((PACKAGE / "index/sqlite/compilation.py").read_text(encoding="utf-8"))
    calls = [
        ast.unparse(node) for node in ast.walk(compilation) if isinstance(node, ast.Call) and called(node) == "njit"
    ]
    assert calls == ["njit(nogil=True)"]
