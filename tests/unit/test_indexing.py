"""Documents stream into an index in bounded memory, and nothing that is stored is encoded again."""

from __future__ import annotations

import pytest

from pixie_retrievers import Document, SparseRetriever, indexing
from pixie_retrievers.errors import DuplicateIdError, InvalidDocumentError, InvalidParameterError, InvalidVectorError
from pixie_retrievers.indexing import Indexed


@pytest.fixture
def retriever(encoder, tmp_path):
    with SparseRetriever.open(tmp_path / "index.db", encoder=encoder) as opened:
        yield opened


@pytest.fixture
def encoded(encoder, monkeypatch):
    """The texts that the model was asked for."""
    texts = []
    inner = encoder.encode_documents
    monkeypatch.setattr(encoder, "encode_documents", lambda asked, **_: (texts.extend(asked), inner(asked))[1])
    return texts


def documents(n, *, start=0, suffix=""):
    return [Document(f"d{i}", f"위성 사진 {i}번{suffix}", {"n": i}) for i in range(start, start + n)]


def test_only_what_is_new_or_has_changed_is_encoded(retriever, encoded):
    assert retriever.add_stream(iter(documents(30))) == Indexed(added=30, updated=0, unchanged=0)
    encoded.clear()
    mixed = documents(20) + documents(5, start=20, suffix=" 새") + documents(3, start=100)
    assert retriever.add_stream(iter(mixed)) == Indexed(added=3, updated=5, unchanged=20)
    assert sorted(encoded) == sorted(document.text for document in mixed[20:])
    assert len(retriever) == 33


def test_documents_are_read_no_further_than_the_group_that_is_stored(retriever, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 10)
    ahead = []

    def stream():
        for n, document in enumerate(documents(35)):
            ahead.append(n - len(retriever))
            yield document

    assert retriever.add_stream(stream()).added == 35
    assert max(ahead) < 10


def test_long_texts_make_smaller_groups(retriever, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_CHARACTERS", 40)
    before = retriever.index.stats().generation
    retriever.add_stream(documents(8))
    assert retriever.index.stats().generation - before > 1


def test_metadata_counts_as_text_does(retriever, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_CHARACTERS", 1000)
    before = retriever.index.stats().generation
    retriever.add_stream(Document(f"{i}", "위성", {"note": {"long": ["가" * 600]}}) for i in range(4))
    assert retriever.index.stats().generation - before == 2


@pytest.mark.parametrize("n", [0, 1, 3])
def test_an_encoder_that_makes_another_number_of_vectors_is_refused(retriever, monkeypatch, n):
    vectors = retriever.encoder.encode_documents(["위성"] * n)
    monkeypatch.setattr(retriever.encoder, "encode_documents", lambda _: vectors)
    with pytest.raises(InvalidVectorError, match=f"made {n} vectors of 2 texts"):
        retriever.add_stream([Document("a", "위성"), Document("b", "궤도")])
    assert len(retriever) == 0


def test_a_run_that_was_interrupted_goes_on_where_it_stopped(retriever, encoded, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 10)

    def broken():
        yield from documents(25)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retriever.add_stream(broken())
    assert len(retriever) == 20
    encoded.clear()
    assert retriever.add_stream(documents(40)) == Indexed(added=20, updated=0, unchanged=20)
    assert len(encoded) == 20


@pytest.mark.parametrize(
    ("bad", "error"), [(Document("d10", "a"), DuplicateIdError), (Document("", "a"), InvalidDocumentError)]
)
def test_a_document_at_fault_fails_its_group_and_no_other(retriever, monkeypatch, bad, error):
    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 10)
    with pytest.raises(error):
        retriever.add_stream([*documents(15), bad])
    assert len(retriever) == 10


def test_progress_counts_every_document_and_shows_a_rate(retriever, capfd):
    retriever.add_stream(documents(5))
    retriever.add_stream(iter(documents(12)), total=12, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "12/12" in err
    assert "texts/s" in err


@pytest.mark.new_process
def test_several_processes_give_what_one_gives(retriever, encoder, tmp_path):
    texts = documents(150)
    assert retriever.add_stream(texts, devices=["cpu", "cpu"]).added == 150
    with SparseRetriever.open(tmp_path / "alone.db", encoder=encoder) as alone:
        alone.add_stream(texts)
        for query in ("위성 사진 77번", "사진"):
            found, expected = retriever.search(query, 5), alone.search(query, 5)
            assert [hit.document.id for hit in found] == [hit.document.id for hit in expected]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], rel=1e-5)


@pytest.mark.parametrize("devices", [[], "cpu"])
def test_devices_that_are_none_are_refused(retriever, devices):
    with pytest.raises(InvalidParameterError, match="devices"):
        retriever.add_stream(documents(1), devices=devices)


@pytest.mark.new_process
def test_a_worker_that_ends_is_reported(retriever, monkeypatch):
    from pixie_retrievers.errors import ModelUnavailableError

    options = retriever.encoder.worker_options()
    monkeypatch.setattr(retriever.encoder, "worker_options", lambda: options | {"model": "/none/such"})
    with pytest.raises(ModelUnavailableError, match="could not load"):
        retriever.add_stream(documents(3), devices=["cpu"])
    assert len(retriever) == 0
