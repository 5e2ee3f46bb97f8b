"""What Milvus is asked, and what its answers mean."""

from __future__ import annotations

from itertools import count
from unittest import mock

import pytest
from clause_answers import Digested
from engines.files import milvus_client
from hypothesis import HealthCheck, given, settings
from property.test_columns import filters, metadata
from vectors import documents, random_vectors

from pixie_retrievers import Document, SparseVectors, open_index
from pixie_retrievers.errors import (
    EngineError,
    EngineUnavailableError,
    IncompatibleIndexError,
    IndexNotFoundError,
    InvalidParameterError,
    PartialWriteError,
)
from pixie_retrievers.filters import parse_filter
from pixie_retrievers.index.opening import begin_index
from pixie_retrievers.index.remote import milvus
from pixie_retrievers.index.remote.clauses import EVERYTHING, NOTHING, Keys, Not, all_of, negated
from pixie_retrievers.index.remote.digests import push_down
from pixie_retrievers.index.remote.location import Location
from pixie_retrievers.index.remote.milvus import MilvusEngine
from pixie_retrievers.index.remote.milvus_expressions import expression
from pixie_retrievers.index.remote.records import records_of

NEW = {"vocabulary_size": 200, "fingerprint": "model-1"}
ENGINE = MilvusEngine(Location.parse("milvus+http://127.0.0.1:1/nowhere"), client=object())
NUMBERS = count()


class MaybeThere(dict):
    """A JSON field: what it lacks passes no comparison."""

    def __missing__(self, _):
        return Nothing()


class Nothing:
    def __lt__(self, _):
        return False

    __le__ = __gt__ = __ge__ = __lt__


def answers(row, said):
    """An expression on a row: what Milvus is asked is Python too."""
    names = {name: row[name] for name in ("key", "f", "seq")}
    names |= {"o": MaybeThere(row["o"]), "array_contains_any": lambda field, tokens: bool(set(field) & set(tokens))}
    return eval(said, {"__builtins__": {}}, names)


def row_of(content):
    vectors = SparseVectors.from_dicts([{1: 1.0}], 200)
    return ENGINE._row(next(iter(records_of([Document("d", "", content)], vectors, 1))))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(metadata, filters)
def test_an_expression_says_what_its_clause_says_negated_or_not(content, filter):
    row, document = row_of(content), Digested.of(content)
    for clause in push_down(parse_filter(filter)):
        for one in (clause, Not(clause), negated(clause)):
            if said := expression(one):
                assert answers(row, said) == document.satisfies(one)
            else:
                assert one == EVERYTHING


def test_an_expression_of_everything_nothing_and_keys():
    row = row_of({})
    assert answers(row, expression(Not(NOTHING)))
    assert not answers(row, expression(NOTHING))
    assert not answers(row, expression(Not(EVERYTHING)))
    assert answers(row, expression(Keys((row["key"],))))
    assert not answers(row, expression(Not(Keys((row["key"],)))))
    assert answers(row, expression(all_of([Keys((row["key"],)), Not(Keys(()))])))


def test_a_document_with_more_ranges_than_a_field_takes_is_possible_everywhere():
    content = {f"k{n}": "글" * 20 for n in range(800)}
    row = row_of(content)
    assert len(str(row["o"])) < 65_536
    for filter in ({"k799": {"$gt": "가"}}, {"$not": {"k799": {"$gt": "하"}}}):
        assert answers(row, expression(push_down(parse_filter(filter)).possible))


def test_expressions_hold_no_text_of_a_callers():
    nasty = "'\"] or key != [\\"
    said = expression(push_down(parse_filter({nasty: {"$in": [nasty], "$gte": nasty, "$contains": nasty}})).possible)
    assert not set(said) & {"'", "\\", "!"}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("milvus+http://a,b/x", "balancer"),
        ("milvus+http://a/x?consistency=weak", "Strong"),
        ("milvus+https://a/x?verify=false", "ca="),
        ("milvus+file:///nowhere/at/all/x.db#x", r"\.db"),
        ("milvus+file:///tmp/x.txt#x", r"\.db"),
    ],
)
def test_a_location_that_milvus_cannot_have_is_refused(url, told):
    with pytest.raises(InvalidParameterError, match=told):
        open_index(url)


def test_a_server_that_is_not_there_is_said_so():
    with pytest.raises(EngineUnavailableError, match="timeout_s"):
        open_index("milvus+http://127.0.0.1:1/x?timeout_s=1&request_timeout_s=1")


@pytest.mark.server
@pytest.mark.xdist_group("milvus")
class TestOnAServer:
    @pytest.fixture
    def location(self, milvus_node):
        return milvus_node.url(f"own_{next(NUMBERS)}")

    def test_handles_see_each_others_writes(self, location):
        with begin_index(location, **NEW) as one, open_index(location) as other:
            one.upsert(documents(3), random_vectors(3))
            assert other.ids() == ["d0", "d1", "d2"]
            other.delete(["d1"])
            assert one.ids() == ["d0", "d2"]
            with pytest.raises(IncompatibleIndexError, match="another model"):
                begin_index(location, vocabulary_size=200, fingerprint="model-2")
            one.drop()
            with pytest.raises(IndexNotFoundError, match="may have been deleted"):
                other.search(random_vectors(1), 3)
        with pytest.raises(IndexNotFoundError, match="begin one"):
            open_index(location)

    def test_a_collection_of_somebody_elses_is_left_alone(self, milvus_node, location):
        name = location.rpartition("/")[2]
        with milvus_client(milvus_node) as client:
            client.create_collection(name, dimension=4)
            for attempt in (lambda: open_index(location), lambda: begin_index(location, **NEW)):
                with pytest.raises(IncompatibleIndexError, match="not made by pixie-retrievers"):
                    attempt()
            client.drop_collection(name)

    def test_what_was_begun_and_not_finished_is_finished(self, milvus_node, location):
        name = location.rpartition("/")[2]
        begin_index(location, **NEW).close()
        with milvus_client(milvus_node) as client:
            client.release_collection(name)
            client.drop_index(name, "v")
        with pytest.raises(IndexNotFoundError):
            open_index(location)
        with begin_index(location, **NEW) as index:
            index.upsert(documents(2), random_vectors(2))
            assert index.ids() == ["d0", "d1"]

    def test_a_name_that_milvus_does_not_take_is_said_so(self, milvus_node):
        with pytest.raises(EngineError, match="letters and underscores"):
            begin_index(milvus_node.url("a-b"), **NEW)

    def test_a_file_is_another_place_for_the_same(self, milvus_node, tmp_path):
        from milvus_lite.server_manager import server_manager_instance

        location = f"milvus+file://{tmp_path.as_posix()}/x.db#corpus"
        with pytest.raises(IndexNotFoundError, match="begin one"):
            open_index(location)
        with begin_index(location, **NEW) as index:
            index.upsert(documents(30), random_vectors(30))
            found = index.search(random_vectors(3), 5, filter={"n": {"$gte": 7}})
            assert index.stats().file_bytes > 0
        with open_index(location) as index:
            assert index.search(random_vectors(3), 5, filter={"n": {"$gte": 7}}) == found
            assert index.check().sound
        server_manager_instance.release_server(str(tmp_path / "x.db"))

    def test_what_milvus_refuses_is_told_by_id_and_the_rest_is_stored(self, location):
        with begin_index(location, **NEW) as index, mock.patch.object(milvus, "_MAX_PIECES", 2):
            huge = Document("huge", "x" * 60_000)
            with pytest.raises(PartialWriteError, match="passages") as caught:
                index.upsert([*documents(3), huge], random_vectors(4))
            assert list(caught.value.reasons) == ["huge"]
            assert index.ids() == ["d0", "d1", "d2"]
