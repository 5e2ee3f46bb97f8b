"""LangChain's index() against both destinations, in every cleanup mode, and that its failures raise."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from pixie_retrievers import SqliteIndex
from pixie_retrievers.errors import IndexLockedError, InvalidDocumentError
from pixie_retrievers.langchain import PixieRetriever, PixieVectorStore
from pixie_retrievers.retriever import SparseRetriever


@pytest.fixture(params=[PixieRetriever, PixieVectorStore])
def destination(request, words):
    with request.param.from_texts([], encoder=words) as destination:
        yield destination


@pytest.fixture
def records():
    records = InMemoryRecordManager("tests")
    records.create_schema()
    return records


def page(text, source):
    return Document(text, metadata={"source": source})


FIRST = [page("위성 하나", "x"), page("위성 둘", "x"), page("농업", "y")]
SECOND = [page("위성 하나", "x"), page("위성 셋", "x")]

# What is stored after the first set, and then the second, were indexed.
LEFT = {
    None: {"위성 하나", "위성 둘", "농업", "위성 셋"},
    "incremental": {"위성 하나", "위성 셋", "농업"},
    "full": {"위성 하나", "위성 셋"},
    "scoped_full": {"위성 하나", "위성 셋", "농업"},
}


def stored(destination):
    ids = destination.sparse_retriever.index.ids()
    return {document.text for document in destination.sparse_retriever.get(ids)}


@pytest.mark.parametrize("cleanup", LEFT)
def test_every_cleanup_mode_leaves_what_it_says(destination, records, cleanup):
    options = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
    first = index(FIRST, records, destination, **options)
    assert (first["num_added"], first["num_skipped"], first["num_deleted"]) == (3, 0, 0)
    assert index(FIRST, records, destination, **options)["num_skipped"] == 3
    second = index(SECOND, records, destination, **options)
    assert (second["num_added"], second["num_skipped"]) == (1, 1)
    assert stored(destination) == LEFT[cleanup]
    assert second["num_deleted"] == 4 - len(LEFT[cleanup])


@pytest.mark.parametrize("cleanup", LEFT)
def test_every_cleanup_mode_leaves_the_same_document_by_document(destination, records, cleanup):
    options = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256", "batch_size": 1}
    index(FIRST, records, destination, **options)
    index(SECOND, records, destination, **options)
    assert stored(destination) == LEFT[cleanup]


@pytest.mark.parametrize("cleanup", LEFT)
async def test_every_cleanup_mode_leaves_the_same_without_blocking(destination, records, cleanup):
    options = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
    await aindex(FIRST, records, destination, **options)
    await aindex(SECOND, records, destination, **options)
    assert stored(destination) == LEFT[cleanup]


def test_documents_keep_their_text_and_metadata_and_are_found(words, records):
    with PixieRetriever.from_texts([], encoder=words) as retriever:
        index(FIRST, records, retriever, cleanup="full", key_encoder="sha256")
        found = retriever.invoke("농업")[0]
        assert (found.page_content, found.metadata["source"]) == ("농업", "y")
        assert found.id in retriever.sparse_retriever.index.ids()


def test_a_changed_page_takes_the_place_of_the_old_one(destination, records):
    options = {"cleanup": "incremental", "source_id_key": "source", "key_encoder": "sha256"}
    index([page("위성", "x")], records, destination, **options)
    index([page("위성 발사", "x")], records, destination, **options)
    assert stored(destination) == {"위성 발사"}


def test_a_forced_update_stores_anew(destination, records):
    options = {"cleanup": None, "key_encoder": "sha256"}
    index(FIRST, records, destination, **options)
    assert index(FIRST, records, destination, force_update=True, **options)["num_updated"] == 3
    assert stored(destination) == {document.page_content for document in FIRST}


def test_a_failure_is_raised_and_not_noted_as_done(destination, records):
    bad = Document("위성", metadata={"source": "x", "tags": object()})
    with pytest.raises(InvalidDocumentError):
        index([bad], records, destination, key_encoder=lambda document: "one")
    assert records.list_keys() == []
    assert stored(destination) == set()


def test_a_writer_who_is_refused_raises_and_is_not_noted_as_done(words, records, tmp_path):
    path = tmp_path / "corpus.db"
    with SparseRetriever.open(path, encoder=words) as other:
        other.add_texts(["위성"])
        with other.index._writer._committing(), SqliteIndex(path, lock_timeout_s=0) as impatient:
            for destination in (PixieRetriever, PixieVectorStore):
                with destination.from_index(impatient, encoder=words) as refused, pytest.raises(IndexLockedError):
                    index(FIRST, records, refused, key_encoder="sha256")
    assert records.list_keys() == []


def test_what_index_passes_on_is_taken_and_anything_else_refused_by_name(words, records):
    with PixieRetriever.from_texts([], encoder=words) as retriever:
        index(FIRST, records, retriever, key_encoder="sha256", upsert_kwargs={"show_progress": False})
        with pytest.raises(TypeError, match="vector_field"):
            index(SECOND, records, retriever, key_encoder="sha256", upsert_kwargs={"vector_field": "x"})


DOORS = {
    "from_documents": lambda kind, _, encoder, path, pages: kind.from_documents(pages, encoder=encoder, path=path),
    "from_texts": lambda kind, _, encoder, path, pages: kind.from_texts(
        [page.page_content for page in pages],
        metadatas=[page.metadata for page in pages],
        ids=[page.id for page in pages],
        encoder=encoder,
        path=path,
    ),
    "add_documents": lambda _, there, *__: there.add_documents(__[-1]),
    "upsert": lambda _, there, *__: there.upsert(__[-1]),
    "add_texts": lambda _, there, *__: there.add_texts(
        [page.page_content for page in __[-1]], [page.metadata for page in __[-1]], ids=[page.id for page in __[-1]]
    ),
}


@pytest.mark.parametrize(
    ("kind", "door"),
    [
        *((PixieRetriever, door) for door in ("from_documents", "from_texts", "add_documents", "upsert")),
        *((PixieVectorStore, door) for door in ("from_documents", "from_texts", "add_documents", "add_texts")),
    ],
)
def test_no_door_encodes_what_is_stored_under_its_id(kind, door, words, tmp_path, monkeypatch):
    path = tmp_path / "index.db"
    pages = [Document(f"위성 {n}", id=str(n), metadata={"n": n}) for n in range(3)]
    with kind.from_documents(pages, encoder=words, path=path) as there:
        encoded, inner = [], words.encode_documents
        monkeypatch.setattr(words, "encode_documents", lambda texts, **_: (encoded.extend(texts), inner(texts))[1])
        pages[1].metadata["n"] = "하나"
        pages.append(Document("농업", id="3"))
        again = DOORS[door](kind, there, words, path, pages)
        assert encoded == ["농업"]
        assert there.sparse_retriever.get(["1"])[0].metadata == {"n": "하나"}
        if isinstance(again, kind):
            again.close()
