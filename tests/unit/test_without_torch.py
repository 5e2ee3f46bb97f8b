"""Questions by a table, in processes where what runs a model is not installed: everything but adding documents."""

from __future__ import annotations

import pytest
from processes import script

from pixie_retrievers import SparseRetriever

TEXTS = [
    f"{thing}에 관한 {n}번째 글이다. 그 글은 {thing}을 말한다." for n, thing in enumerate(("위성", "논", "법원") * 20)
]

BLOCKED = """
import json, sys
GONE = {"torch", "transformers", "sentence_transformers", "huggingface_hub", "scipy"} | set(sys.argv[2:])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
path = sys.argv[1]
"""

DOORS = """
from contextlib import redirect_stdout
from io import StringIO
from pixie_retrievers import OptionalDependencyError, SparseRetriever, show, to_html

found = {}
with SparseRetriever.open(path, queries="inference-free") as retriever:
    results = retriever.search("위성에 관한 글", 3)
    found["facade"] = [[r.document.id, r.score] for r in results]
    found["surfaces"] = [one.surface for one in results[0].explanation.contributions]
    found["html"] = "위성" in to_html(results)
    found["query"] = len(retriever.explain_query("위성에 관한 글", raised_by=True).tokens) > 0
    retriever.explain("위성", "1")
    retriever.why_not("위성", "1")
    retriever.compare("위성", "0", "1")
    retriever.search_diverse("위성", 2)
    try:
        retriever.add_texts(["새 글"])
    except OptionalDependencyError as error:
        found["refusal"] = str(error)
from pixie_retrievers.langchain import PixieRetriever
with PixieRetriever.from_index(path, queries="inference-free", k=3) as retriever:
    found["langchain"] = [[d.id, d.metadata["score"]] for d in retriever.invoke("위성에 관한 글")]
from pixie_retrievers.cli import main
sys.argv = ["pixie", "search", "--fast", path, "위성에 관한 글", "-k", "3", "--json"]
with redirect_stdout(StringIO()) as out:
    try:
        main()
    except SystemExit as leaving:
        found["code"] = leaving.code or 0
found["cli"] = [[hit["id"], hit["score"]] for hit in json.loads(out.getvalue())["results"]]
found["loaded"] = sorted(GONE & sys.modules.keys())
print(json.dumps(found))
"""

LACKING = """
from pixie_retrievers import OptionalDependencyError, SparseRetriever
try:
    SparseRetriever.open(path, queries="inference-free")
except OptionalDependencyError as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory, encoder):
    path = tmp_path_factory.mktemp("index") / "corpus.db"
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        retriever.add_texts(TEXTS, ids=[str(n) for n in range(60)])
        retriever.derive_query_table()
    return str(path)


def test_every_door_answers_alike_without_torch(path):
    with SparseRetriever.open(path, queries="inference-free") as retriever:
        expected = [[result.document.id, result.score] for result in retriever.search("위성에 관한 글", 3)]
    found = script(BLOCKED + DOORS, path)
    assert found["facade"] == found["langchain"] == found["cli"] == expected
    assert found["code"] == 0
    assert "위성" in found["surfaces"]
    assert found["html"]
    assert found["query"]
    assert 'pip install "pixie-retrievers[encoder]"' in found["refusal"]
    assert found["loaded"] == []


@pytest.mark.parametrize("lacking", ["tokenizers", "safetensors"])
def test_what_reading_questions_needs_is_named(path, lacking):
    said = script(BLOCKED + LACKING, path, lacking)
    assert lacking in said
    assert 'pip install "pixie-retrievers[inference-free]"' in said
