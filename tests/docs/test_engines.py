"""What the pages of engines show runs, on an engine of the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from engines.fixtures import server_engines

from pixie_retrievers import open_index

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {engine.values[0]: engine for engine in server_engines()}


@pytest.mark.parametrize("engine", [PAGES["milvus"], PAGES["qdrant"]])
def test_the_example_of_a_page_runs(request, engine, capsys):
    page = (DOCS / f"{engine}.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    node = request.getfixturevalue(f"{engine}_node")
    where = node.url("articles")
    code = re.sub(r"\w+\+http://localhost:\d+/articles", where, code)
    names: dict = {}
    exec(code, names)
    assert float(capsys.readouterr().out) > 0
    names["retriever"].sparse_retriever.close()
    with open_index(where) as index:
        assert len(index) == 2
        index.drop()
