"""Who encodes questions: the model, or a table in its place, at every door."""

from __future__ import annotations

import shutil
from contextlib import closing

import pytest

from pixie_retrievers import (
    IncompatibleIndexError,
    InferenceFreeEncoder,
    InvalidParameterError,
    PixieEncoder,
    SparseRetriever,
    SqliteIndex,
    StorageError,
    copy_index,
)
from pixie_retrievers.queries import keep_table, stored_table

TEXTS = [
    f"{thing}에 관한 {n}번째 글이다. 그 글은 {thing}을 말한다." for n, thing in enumerate(["위성", "논", "법원"] * 20)
]
QUESTION = "위성에 관한 글"


@pytest.fixture(scope="module")
def made(tmp_path_factory, encoder):
    path = tmp_path_factory.mktemp("index") / "corpus.db"
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        retriever.add_texts(TEXTS, ids=[str(n) for n in range(60)])
        retriever.derive_query_table()
    return path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copy(made, tmp_path / "corpus.db")


def ranking(retriever):
    return [(result.document.id, result.score) for result in retriever.search(QUESTION)]


def test_a_table_encodes_questions_at_every_door(path, encoder, tmp_path):
    table = stored_table(SqliteIndex(path))
    table.save(tmp_path / "table")
    found = []
    for queries in ("inference-free", table, tmp_path / "table", str(tmp_path / "table")):
        with SparseRetriever.open(path, queries=queries) as retriever:
            assert isinstance(retriever.encoder, InferenceFreeEncoder)
            found.append(ranking(retriever))
        with SparseRetriever.from_index(path, queries=queries, read_only=True) as retriever:
            found.append(ranking(retriever))
        retriever, opened_here = SparseRetriever.from_source(path, queries=queries)
        assert opened_here
        with retriever:
            found.append(ranking(retriever))
    assert all(one == found[0] for one in found)
    with SparseRetriever.open(path, queries="model") as one, SparseRetriever.open(path) as other:
        assert ranking(one) == ranking(other) != found[0]


def test_both_frameworks_take_it(path):
    from pixie_retrievers.langchain import PixieRetriever, PixieVectorStore
    from pixie_retrievers.llama_index import PixieRetriever as LlamaRetriever
    from pixie_retrievers.llama_index import PixieVectorStore as LlamaStore

    with SparseRetriever.open(path, queries="inference-free") as retriever:
        expected = ranking(retriever)[:3]
    with PixieRetriever.from_index(path, queries="inference-free", k=3) as retriever:
        found = retriever.invoke(QUESTION)
        assert [(document.id, document.metadata["score"]) for document in found] == expected
        assert found[0].metadata["token_explanations"]
    with PixieVectorStore.from_index(path, queries="inference-free") as store:
        assert [(doc.id, score) for doc, score in store.similarity_search_with_score(QUESTION, k=3)] == expected
    with LlamaRetriever.from_index(path, queries="inference-free", similarity_top_k=3) as retriever:
        assert [(node.node.node_id, node.score) for node in retriever.retrieve(QUESTION)] == expected
    with closing(LlamaStore(path, queries="inference-free")) as store:
        assert isinstance(store.sparse_retriever.encoder, InferenceFreeEncoder)
        with closing(LlamaStore.from_dict(store.to_dict())) as again:
            assert isinstance(again.sparse_retriever.encoder, InferenceFreeEncoder)


def test_documents_are_added_with_the_model(path, encoder):
    with SparseRetriever.open(path, queries="inference-free") as retriever:
        retriever.add_texts(["화성 탐사선이 떠났다."], ids=["mars"])
        assert retriever.search("화성 탐사선", 1)[0].document.id == "mars"
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        assert retriever.index.vectors(["mars"]) == encoder.encode_documents(["화성 탐사선이 떠났다."])


def test_a_table_is_copied_backed_up_and_removed_with_its_index(path, tmp_path):
    with SqliteIndex(path) as index:
        index.backup(tmp_path / "backup.db")
        options = {"vocabulary_size": index.vocabulary_size, "fingerprint": index.fingerprint}
        with SqliteIndex(tmp_path / "copy.db", **options) as copy:
            copy_index(index, copy)
        keep_table(index, None)
        assert stored_table(index) is None
    for name in ("backup.db", "copy.db"):
        with SparseRetriever.open(tmp_path / name, queries="inference-free") as retriever:
            assert ranking(retriever)


def test_what_asks_for_a_table_that_is_not_there_says_how_to_make_one(path, tmp_path):
    with SqliteIndex(path) as index:
        keep_table(index, None)
    for open_ in (SparseRetriever.open, SparseRetriever.from_index):
        with pytest.raises(InvalidParameterError, match="derive_query_table"):
            open_(path, queries="inference-free")
    with pytest.raises(InvalidParameterError, match="new index"):
        SparseRetriever.open(tmp_path / "new.db", encoder="bundled", queries="inference-free")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("wrong", ["fast", "no such file", 5, object()])
def test_what_says_nothing_is_refused(path, wrong):
    with pytest.raises(InvalidParameterError, match="queries"):
        SparseRetriever.open(path, queries=wrong)


def test_a_path_that_is_gone_is_named(path, tmp_path):
    with pytest.raises(StorageError, match="gone"):
        SparseRetriever.open(path, queries=tmp_path / "gone")


def test_a_table_of_another_model_is_refused(path, tmp_path):
    table = stored_table(SqliteIndex(path))
    other = PixieEncoder.bundled(device="cpu", max_length=64)
    with SparseRetriever.open(tmp_path / "other.db", encoder=other) as retriever:
        retriever.add_texts(TEXTS[:1])
        with pytest.raises(IncompatibleIndexError, match="max_length"):
            SparseRetriever.from_index(tmp_path / "other.db", queries=table)
        with pytest.raises(InvalidParameterError, match="queries"):
            SparseRetriever.from_source(retriever, queries=table)
