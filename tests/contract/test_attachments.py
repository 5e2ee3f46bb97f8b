"""What an index keeps beside its documents, by name: the same over every engine."""

from __future__ import annotations

import copy
import pickle

import pytest
from engines.fixtures import new_location, server_engines
from vectors import documents, random_vectors

from pixie_retrievers import (
    CorruptIndexError,
    Document,
    InvalidParameterError,
    PixieEncoder,
    PixieWarning,
    SparseRetriever,
    SqliteIndex,
    copy_index,
    rules_of,
)
from pixie_retrievers.errors import (
    EngineError,
    EngineUnavailableError,
    IncompatibleIndexError,
    IndexClosedError,
    IndexNotFoundError,
)
from pixie_retrievers.index.opening import begin_index, open_index
from pixie_retrievers.index.remote import attachments
from pixie_retrievers.types import SparseVectors

VOCABULARY_SIZE = 200
LARGE = bytes(range(256)) * 10_000  # three parts of a server's index


@pytest.fixture(params=["sqlite", *server_engines()])
def location(request, tmp_path):
    location = new_location(request, tmp_path)
    with begin_index(location, vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1") as index:
        index.upsert(documents(1), random_vectors(1))
        index.delete(index.ids())  # a file is begun by a commit
    yield location
    if request.param != "sqlite":
        with open_index(location) as index:
            index.drop()


@pytest.fixture
def index(location):
    with open_index(location) as index:
        yield index


@pytest.fixture(autouse=True)
def sees_at_once(monkeypatch):
    monkeypatch.setattr(attachments, "_LOOK_AGAIN_S", 0.0)


def test_is_there_when_the_call_returns_for_everybody(index, location):
    with open_index(location, read_only=True) as other:
        assert (other.attachments(), other.attachment("rules")) == ({}, None)
        index.attach("rules", LARGE)
        assert other.attachment("rules") == LARGE
        before = other.attachments()["rules"]
        index.attach("rules", b"")
        assert other.attachment("rules") == b""
        assert other.attachments().keys() == {"rules"}
        assert other.attachments()["rules"] != before
        index.attach("a name of two", b"2")
        assert {name: other.attachment(name) for name in other.attachments()} == {"rules": b"", "a name of two": b"2"}
        index.attach("rules", None)
        index.attach("rules", None)  # already gone
        assert (other.attachments().keys(), other.attachment("rules")) == ({"a name of two"}, None)
        assert index.check().sound


def test_leaves_documents_and_answers_alone(index):
    index.upsert(documents(30), random_vectors(30))
    found = index.search(random_vectors(3, seed=5), 5)
    index.attach("a", LARGE)
    assert (len(index), index.count(), len(index.ids())) == (30, 30, 30)
    assert index.search(random_vectors(3, seed=5), 5) == found
    assert index.stats().n_documents == 30
    assert sum(len(some) for some, _ in index.scan()) == 30


def test_moves_with_a_copy_there_and_back(index, tmp_path):
    with SqliteIndex(tmp_path / "one.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1") as one:
        one.upsert(documents(10), random_vectors(10))
        one.attach("rules", b"[]")
        one.attach("table", LARGE)
        assert copy_index(one, index).differences == ()
    with SqliteIndex(tmp_path / "two.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1") as two:
        assert copy_index(index, two).differences == ()
        assert {name: two.attachment(name) for name in two.attachments()} == {"rules": b"[]", "table": LARGE}


@pytest.mark.parametrize(
    ("name", "content"), [("", b""), ("ein Ü", b""), ("x" * 65, b""), (3, b""), ("rules", "text"), ("rules", [1])]
)
def test_what_cannot_be_attached_is_refused(index, name, content):
    with pytest.raises(InvalidParameterError):
        index.attach(name, content)
    assert index.attachments() == {}


def test_a_closed_index_says_so(location):
    index = open_index(location)
    index.close()
    for call in (index.attachments, lambda: index.attachment("a"), lambda: index.attach("a", b"")):
        with pytest.raises(IndexClosedError):
            call()


def test_a_pickled_index_has_what_is_attached(index):
    index.attach("rules", b"[]")
    with pickle.loads(pickle.dumps(index)) as other:  # its own
        assert other.attachment("rules") == b"[]"
    assert copy.copy(index).attachment("rules") == b"[]"


@pytest.fixture(params=server_engines())
def place(request):
    """Where nothing is yet, on a server."""
    location = new_location(request)
    yield location
    with open_index(location) as index:
        index.drop()


@pytest.fixture
def server(place):
    """The location of an empty index on a server."""
    begin_index(place, vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1").close()
    return place


def beside(location, **options):
    """The collection that keeps the parts, past the index that it belongs to."""
    name, question, rest = location.partition("?")
    return begin_index(name + "_attachments" + question + rest, vocabulary_size=1, fingerprint="attachments", **options)


def empty(n):
    return SparseVectors.from_dicts([{}] * n, vocabulary_size=1)


def test_on_a_server_what_is_not_whole_does_not_count_and_goes_with_the_next_write(server):
    with open_index(server) as index, beside(server) as parts:
        index.attach("rules", b"[1]")
        parts.upsert([Document("rules 7 0 2", "W10=", {})], empty(1))  # a writer that was killed
        assert index.attachment("rules") == b"[1]"
        index.attach("rules", b"[2]")
        assert index.attachment("rules") == b"[2]"
        assert len(parts) == 1


def test_on_a_server_the_last_of_two_writers_counts(server):
    with open_index(server) as index, beside(server) as parts:
        index.attach("rules", b"[1]")
        (part,) = parts.get(parts.ids())
        parts.upsert([Document("rules 7 0 1", part.text, part.metadata)], empty(1))
        assert index.attachments() == {"rules": 7}


def test_on_a_server_who_is_written_over_is_told(server, monkeypatch):
    with open_index(server) as index, beside(server) as parts, open_index(server) as other:
        index.attach("rules", b"[1]")
        upsert = type(parts).upsert

        def and_somebody_else(self, documents, vectors):
            upsert(self, documents, vectors)
            patch.undo()
            other.attach("rules", b"[2]")  # while the first writes, whose parts it takes for leftovers

        with monkeypatch.context() as patch:
            patch.setattr(type(parts), "upsert", and_somebody_else)
            with pytest.raises(EngineError, match="at the same time"):
                index.attach("rules", b"[3]")
        assert index.attachment("rules") == other.attachment("rules") == b"[2]"


def test_on_a_server_what_is_known_counts_while_it_cannot_be_reached(server, monkeypatch):
    with open_index(server) as index:
        index.attach("rules", b"[1]")
        known = index.attachments()

        def unreachable(*_, **__):
            raise EngineUnavailableError("no answer")

        with monkeypatch.context() as patch, open_index(server) as new:
            patch.setattr(type(index), "ids", unreachable)
            assert index.attachments() == known
            with pytest.raises(EngineUnavailableError):
                new.attachments()


def test_on_a_server_a_damaged_part_is_named(server):
    with open_index(server) as index, beside(server) as parts:
        index.attach("rules", b"[1]")
        parts.upsert([Document(parts.ids()[0], "W10=", {"crc32": 5})], empty(1))
        with pytest.raises(CorruptIndexError, match="'rules' is damaged: attach it again"):
            index.attachment("rules")
        (problem,) = index.check().problems
        assert "'rules' is damaged" in problem
        index.attach("rules", b"[2]")
        assert index.check().sound


def test_a_dropped_index_takes_them_along(server):
    with open_index(server) as index:
        index.attach("rules", b"[1]")
        index.drop()
    with begin_index(server, vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1") as index:
        assert index.attachments() == {}
        index.attach("rules", b"[2]")
        assert index.attachment("rules") == b"[2]"


def test_rules_are_kept_and_apply_and_others_see_them(place):
    encoder = PixieEncoder.bundled()
    with SparseRetriever.open(place, encoder=encoder) as one, SparseRetriever.open(place, encoder=encoder) as other:
        one.add_texts(["휴가는 15일이다.", "휴가를 마친 뒤 여비를 정산한다."], ids=["leave", "pay"])
        before = other.search("휴가 여비")
        one.set_rules(rules_of(encoder, {"휴가": 0}))
        assert other.rules.version == 1
        assert other.search("휴가 여비") == one.search("휴가 여비") != before
        one.undo_rules()
        assert other.search("휴가 여비") == before


def test_somebody_elses_collection_in_that_place_is_left_alone(server):
    name, question, rest = server.partition("?")
    place = name + "_attachments" + question + rest
    with begin_index(place, vocabulary_size=5, fingerprint="model-2") as theirs:
        theirs.upsert([Document("a", "b", {})], SparseVectors.from_dicts([{1: 1.0}], vocabulary_size=5))
        with open_index(server) as index:
            with pytest.warns(PixieWarning, match="searches go on without them"):
                assert index.attachments() == {}
            assert index.attachments() == {}  # said once
            with pytest.raises(IncompatibleIndexError):
                index.attach("rules", b"")
            index.drop()
        assert theirs.ids() == ["a"]
        theirs.drop()
    begin_index(server, vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1").close()
    with pytest.raises(IndexNotFoundError):
        open_index(place)
