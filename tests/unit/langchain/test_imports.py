"""Importing the adapter: lazily, lightly, and with a plain word when LangChain is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pixie_retrievers.langchain as adapter


def run(code: str) -> str:
    finished = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_every_public_name_is_there_and_no_other():
    assert adapter.__all__ == sorted(adapter.__all__) == dir(adapter)
    pytest.importorskip("langchain")  # which ToolSelector alone needs
    assert all(getattr(adapter, name).__name__ == name for name in adapter.__all__)
    with pytest.raises(AttributeError, match="PixieReader"):
        adapter.PixieReader  # noqa: B018


def test_the_package_is_imported_without_langchain():
    assert run("import sys, pixie_retrievers.langchain; print('langchain_core' in sys.modules)") == "False"


def test_all_but_the_tool_selector_is_imported_without_torch_numba_or_langchain_itself():
    code = """
import sys
from pixie_retrievers import langchain
for name in langchain.__all__:
    if name != "ToolSelector":
        getattr(langchain, name)
print([name for name in ("torch", "transformers", "numba", "llama_index", "langchain") if name in sys.modules])
"""
    assert run(code) == "[]"


def test_without_langchain_the_error_holds_the_install_command():
    code = """
import sys
sys.modules["langchain_core"] = None
from pixie_retrievers.errors import OptionalDependencyError
try:
    from pixie_retrievers.langchain import PixieRetriever
except OptionalDependencyError as error:
    print(error)
"""
    assert run(code) == (
        'PixieRetriever needs langchain-core, which is not installed: pip install "pixie-retrievers[langchain]"'
    )


def test_without_langchain_itself_the_tool_selector_says_what_to_install():
    code = """
import sys
sys.modules["langchain"] = None
from pixie_retrievers.errors import OptionalDependencyError
try:
    from pixie_retrievers.langchain import ToolSelector
except OptionalDependencyError as error:
    print(error)
"""
    assert run(code) == 'ToolSelector needs langchain, which is not installed: pip install "langchain>=1.0"'
