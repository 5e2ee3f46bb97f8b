"""An index and its facade work where nothing that runs a model is installed; asking for one says what to install."""

from __future__ import annotations

from processes import script

WITHOUT = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

GONE = {"torch", "transformers", "sentence_transformers", "tokenizers", "safetensors", "huggingface_hub", "scipy"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())

from pixie_retrievers import (
    Document, OptionalDependencyError, PixieEncoder, SparseRetriever, SparseVectors, SqliteIndex, open_index
)

class Letters:
    vocabulary_size, fingerprint = 128, "letters"
    def encode_documents(self, texts, *, show_progress=False):
        rows = [{ord(letter): float(text.count(letter)) for letter in text} for text in texts]
        return SparseVectors.from_dicts(rows, 128).with_literal(rows)
    encode_queries = encode_documents
    def tokens(self, term_ids):
        return [chr(term) for term in term_ids]
    surfaces = tokens

path = sys.argv[1]
with SparseRetriever.open(path, encoder=Letters()) as retriever:
    retriever.add([Document("a", "aab", {"n": 1}), Document("b", "bbc", {"n": 2})])
    found = retriever.search("ab", filter={"n": {"$gte": 1}})
    diverse = retriever.search_diverse("ab", 2)
    why = retriever.explain("ab", "b").to_metadata()

own = path + ".own"  # vectors of one's own, and only then an encoder for the questions
vectors = SparseVectors.from_dicts([{ord("a"): 2.0}, {ord("b"): 1.5}, {ord("a"): 1.0}], 128)
with SqliteIndex(own, vocabulary_size=128, fingerprint="letters") as index:
    index.upsert([Document(id, id) for id in ("x", "y", "z")], vectors)
with SparseRetriever.from_index(own, encoder=Letters()) as retriever:
    scores = [[(r.document.id, r.score) for r in results] for results in retriever.search_many(["a", "bb", "c"])]
refusals = []
for ask in (PixieEncoder, PixieEncoder.bundled, lambda: SparseRetriever.open(path + ".new")):
    try:
        ask()
    except OptionalDependencyError as error:
        refusals.append(str(error))
try:
    SparseVectors.from_dicts([{1: 1.0}], 2).to_scipy()
except OptionalDependencyError as error:
    refusals.append(str(error))

from pixie_retrievers.cli import main
codes, said = [], []
for command in (["info", own], ["check", own], ["delete", own, "x", "w"], ["compact", own], ["search", own, "a"]):
    sys.argv = ["pixie", *command]
    code = 0
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
    codes.append(code)
    said.append(out.getvalue() + err.getvalue())
with open_index(own, read_only=True) as index:
    left = index.ids()
print(json.dumps([[r.document.id for r in found], len(diverse), [w["surface"] for w in why], scores, refusals, codes,
                  said, left, sorted(GONE & sys.modules.keys())]))
"""


def test_index_facade_and_commands_work_without_a_models_packages(tmp_path):
    found, n_diverse, why, scores, refusals, codes, said, left, loaded = script(WITHOUT, str(tmp_path / "index.db"))
    assert found == ["a", "b"]
    assert n_diverse == 2
    assert why == ["b"]
    assert scores == [[["x", 2.0], ["z", 1.0]], [["y", 3.0]], []]
    assert len(refusals) == 4
    assert all('pip install "pixie-retrievers[encoder]"' in refusal for refusal in refusals[:3])
    assert "pip install scipy" in refusals[3]
    assert codes == [0, 0, 0, 0, 1]  # only a search needs the model
    info, check, delete, compact, search = said
    assert "documents   3\n" in info
    assert check == "sound\n"
    assert delete == "1 deleted, 2 left\nnot there: w\n"
    assert compact.startswith("2 documents; ")
    assert search.startswith("error: ")
    assert left == ["y", "z"]
    assert loaded == []
