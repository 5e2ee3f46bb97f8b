"""Documents stream into an index in bounded memory, and nothing that is stored is encoded again."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from pixie_retrievers import Document, SparseRetriever, SqliteIndex, indexing
from pixie_retrievers.errors import (
    DuplicateIdError,
    IndexLockedError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidVectorError,
    StorageError,
)
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


def test_documents_are_read_no_further_than_the_group_behind_the_one_that_is_being_stored(retriever, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 10)
    ahead = []

    def stream():
        for n, document in enumerate(documents(35)):
            ahead.append(n - len(retriever))
            yield document

    assert retriever.add_stream(stream()).added == 35
    assert max(ahead) < 20


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


def test_progress_counts_every_document_and_shows_a_rate(retriever, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if it were a terminal
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


# What a call passes at once


def test_adding_again_encodes_no_text_that_is_stored_under_its_id(retriever, encoded):
    retriever.add(documents(30))
    vectors = retriever.index.vectors(["d3"])
    encoded.clear()
    generation = retriever.index.stats().generation
    assert retriever.add(documents(30)) == [f"d{n}" for n in range(30)]
    assert (encoded, retriever.index.stats().generation) == ([], generation)
    retriever.add([Document("d3", "위성 사진 3번", {"n": "셋"}), *documents(2, start=40)])
    assert encoded == ["위성 사진 40번", "위성 사진 41번"]
    assert retriever.get(["d3"])[0].metadata == {"n": "셋"}
    assert retriever.index.vectors(["d3"]) == vectors
    assert retriever.index.ids(filter={"n": "셋"}) == ["d3"]
    retriever.add([Document("d3", "다른 글", {"n": "셋"})])
    assert encoded[2:] == ["다른 글"]
    assert retriever.index.vectors(["d3"]) != vectors
    retriever.add_stream([Document("d3", "다른 글", {"n": 3})])
    assert encoded[3:] == []


@pytest.mark.parametrize("weights", ["float16", "uint8"])
def test_a_vector_that_stays_is_not_rounded_again(encoder, tmp_path, weights):
    with SparseRetriever.open(tmp_path / "index.db", encoder=encoder, weights=weights) as retriever:
        retriever.add(documents(3))
        before = retriever.index.vectors(["d0", "d1", "d2"])
        for n in range(5):
            retriever.add([Document(f"d{i}", f"위성 사진 {i}번", {"n": n + 10}) for i in range(3)])
        after = retriever.index.vectors(["d0", "d1", "d2"])
        assert after.weights.tolist() == pytest.approx(before.weights.tolist(), rel=1e-6)
        assert after.term_ids.tolist() == before.term_ids.tolist()


def test_documents_that_are_changed_lie_in_the_order_of_the_call(retriever):
    retriever.add(documents(3))
    retriever.add([Document("d2", "위성 사진 2번", {}), Document("x", "새 글"), Document("d0", "위성 사진 0번")])
    assert retriever.index.ids() == ["d1", "d2", "x", "d0"]
    assert retriever.search("새 글", 1)[0].document.id == "x"


def test_a_vector_is_not_taken_from_a_text_that_another_writer_put_there(retriever, encoder, monkeypatch):
    retriever.add([Document("a", "위성 사진", {"n": 1})])
    read = type(retriever.index).vectors

    def meanwhile(index, ids):
        index.upsert([Document("a", "벼가 자란다", {})], encoder.encode_documents(["벼가 자란다"]))
        return read(index, ids)

    monkeypatch.setattr(type(retriever.index), "vectors", meanwhile)
    retriever.add([Document("a", "위성 사진", {"n": 2})])
    monkeypatch.undo()
    assert [result.document.id for result in retriever.search("위성 사진")] == ["a"]
    assert retriever.search("벼가 자란다") == []


@pytest.mark.parametrize("show_progress", [False, True])
def test_an_interrupted_call_keeps_whole_groups_and_goes_on_behind_them(
    retriever, encoder, encoded, monkeypatch, capsys, show_progress
):
    monkeypatch.setattr(indexing, "_ADD_DOCUMENTS", 8)
    everything = documents(30)
    inner = encoder.encode_documents

    def interrupted(texts, **_):
        if everything[20].text in texts:
            raise KeyboardInterrupt
        return inner(texts)

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encode_documents", interrupted)
        with pytest.raises(KeyboardInterrupt):
            retriever.add(everything, show_progress=show_progress)
    assert len(retriever) == 16
    encoded.clear()
    retriever.add(everything, show_progress=show_progress)
    assert encoded == [document.text for document in everything[16:]]
    assert len(retriever) == 30
    with pytest.raises(DuplicateIdError, match="document 31"):  # all are checked before the first is encoded
        retriever.add([*documents(30, suffix=" 새"), Document("d0", "위성")])
    assert retriever.get(["d0"]) == everything[:1]


class _Recording:
    """An index that says when it is stored to, and can fail there."""

    def __init__(self, index, error=None):
        self._index, self._error, self.threads = index, error, []

    def __getattr__(self, name):
        return getattr(self._index, name)

    def __len__(self):
        return len(self._index)

    def upsert(self, documents, vectors):
        self.threads.append(threading.current_thread().name)
        if self._error is not None and len(self.threads) == 2:
            raise self._error
        self._index.upsert(documents, vectors)


def test_a_group_is_stored_while_the_next_is_encoded_and_an_id_in_both_is_counted_once(retriever, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 3)
    given, recording = documents(6), _Recording(retriever.index)
    again = [given[5], Document("d4", "농업")]
    found = indexing.index_documents(recording, retriever.encoder, [*given, *again])
    assert found == Indexed(added=6, updated=1, unchanged=1)
    assert len(recording.threads) == 3
    assert all(name.startswith("pixie-store") for name in recording.threads)
    assert retriever.get(["d4"])[0].text == "농업"
    assert not any(thread.name.startswith("pixie-store") for thread in threading.enumerate())


def test_what_storing_a_group_raises_is_raised_and_the_groups_before_are_stored(retriever, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 2)
    recording = _Recording(retriever.index, StorageError("the disk is full"))
    with pytest.raises(StorageError, match="the disk is full"):
        indexing.index_documents(recording, retriever.encoder, documents(8))
    assert retriever.ids() == ["d0", "d1"]


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path, encoder):
    """A retriever of an index that another process is writing."""
    path = tmp_path / "held.db"
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        retriever.add([Document("a", "정찰 위성")])
    index = SqliteIndex(path, lock_timeout_s=0.2)
    command = [sys.executable, "-c", HOLD, str(path)]
    with (
        SparseRetriever(encoder, index) as retriever,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
    ):
        assert child.stdout.readline() == "held\n"
        yield retriever
        child.communicate()


ADDING = {
    "add": lambda retriever, documents: retriever.add(documents),
    "with progress": lambda retriever, documents: retriever.add(documents, show_progress=True),
    "add_stream": lambda retriever, documents: retriever.add_stream(documents),
    "sync": lambda retriever, documents: retriever.sync(documents),
}


@pytest.mark.parametrize("way", ADDING)
def test_nothing_is_encoded_while_another_process_holds_the_index(way, held, encoded):
    encoded.clear()
    with pytest.raises(IndexLockedError, match=r"more than 0\.2 s"):
        ADDING[way](held, [Document("a", "정찰 위성"), Document("b", "벼")])
    assert encoded == []
    assert held.search("위성")  # who reads does not wait
    ADDING[way](held, [Document("a", "정찰 위성")])  # nor who has nothing to write


def test_a_lock_that_was_tried_is_free_again(retriever, encoder, monkeypatch):
    retriever.add([Document("a", "정찰 위성")])
    other = SparseRetriever.from_index(retriever.index.path, encoder=encoder)
    own = encoder.encode_documents

    def meanwhile(texts, **options):
        if "벼" in texts:
            other.add([Document("c", "금리")])
        return own(texts, **options)

    monkeypatch.setattr(encoder, "encode_documents", meanwhile)
    with other:
        retriever.add([Document("b", "벼")])
    assert retriever.ids() == ["a", "c", "b"]


def test_nothing_is_encoded_for_an_index_that_is_only_read(encoder, encoded, tmp_path):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        retriever.add([Document("a", "정찰 위성")])
    encoded.clear()
    with (
        SparseRetriever.from_index(tmp_path / "corpus.db", encoder=encoder, read_only=True) as reader,
        pytest.raises(StorageError, match="read_only"),
    ):
        reader.add([Document("b", "벼")])
    assert encoded == []
