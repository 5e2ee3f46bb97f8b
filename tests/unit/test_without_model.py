"""An index and its facade work where nothing that runs a model is installed; asking for one says what to install."""

from __future__ import annotations

from processes import script

WITHOUT = """
import json, sys

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
sys.argv = ["pixie", "info", path]
try:
    main()
except SystemExit as leaving:
    code = leaving.code or 0
print()
print(json.dumps([[r.document.id for r in found], len(diverse), [w["surface"] for w in why], refusals, code,
                  sorted(GONE & sys.modules.keys())]))
"""


def test_index_facade_and_commands_work_without_a_models_packages(tmp_path):
    found, n_diverse, why, refusals, code, loaded = script(WITHOUT, str(tmp_path / "index.db"))
    assert found == ["a", "b"]
    assert n_diverse == 2
    assert why == ["b"]
    assert len(refusals) == 4
    assert all('pip install "pixie-retrievers[encoder]"' in refusal for refusal in refusals[:3])
    assert "pip install scipy" in refusals[3]
    assert code == 0
    assert loaded == []
