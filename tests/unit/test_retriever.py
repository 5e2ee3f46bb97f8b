"""SparseRetriever: what adapters need of it beyond a plain search."""

from __future__ import annotations

import copy
import datetime as dt
import math
import pickle
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context
from uuid import UUID

import numpy as np
import pytest

from pixie_retrievers import (
    Document,
    DocumentNotFoundError,
    DuplicateIdError,
    FilterError,
    IncompatibleIndexError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
    SparseRetriever,
    StorageError,
)
from pixie_retrievers.indexing import Indexed

QUERY = "지구를 도는 위성"
TEXTS = [
    "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
    "로켓은 위성을 우주로 쏘아 올린다.",
    "달은 지구를 도는 하나뿐인 자연 위성이다.",
    "벼는 물을 채운 논에서 자란다.",
]
IDS = ["orbit", "rocket", "moon", "rice"]


@pytest.fixture(scope="module")
def retriever(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(TEXTS, [{"n": n} for n in range(4)], IDS)
        yield retriever


def found(results):
    return [(result.document.id, result.score, result.explanation) for result in results]


def test_a_search_among_some_ids_is_a_search_of_those_documents_alone(retriever):
    everything = found(retriever.search(QUERY))
    some = found(retriever.search(QUERY, ids=["rocket", "moon", "moon", "nowhere", "rocket"]))
    assert some == [entry for entry in everything if entry[0] in ("rocket", "moon")]
    assert len(some) == 2
    assert found(retriever.search(QUERY, 1, ids=["rocket", "moon"])) == some[:1]
    assert found(retriever.search(QUERY, ids=IDS)) == everything
    assert retriever.search_many([QUERY, "논"], ids=["rice"])[1][0].document.id == "rice"


def test_a_filter_and_a_threshold_hold_among_ids_too(retriever):
    best, second = retriever.search(QUERY, ids=["orbit", "moon"])
    assert found(retriever.search(QUERY, ids=IDS, filter={"n": 1}))[0][0] == "rocket"
    between = (best.score + second.score) / 2
    assert found(retriever.search(QUERY, ids=["orbit", "moon"], score_threshold=between)) == found([best])
    assert retriever.search(QUERY, ids=[]) == []
    assert retriever.search("", ids=IDS) == []
    with pytest.raises(FilterError):
        retriever.search(QUERY, ids=IDS, filter={"$near": 1})
    with pytest.raises(InvalidParameterError, match="k is 0"):
        retriever.search(QUERY, 0, ids=IDS)


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_an_empty_query_with_a_filter_lists_what_passes_in_insertion_order(retriever, blank):
    late = {"n": {"$gte": 1}}
    assert [(id, score) for id, score, _ in found(retriever.search(blank, filter=late))] == [
        ("rocket", 0.0),
        ("moon", 0.0),
        ("rice", 0.0),
    ]
    assert [r.document.id for r in retriever.search(blank, 2, filter=lambda metadata: metadata["n"] != 1)] == [
        "orbit",
        "moon",
    ]
    assert [r.document.id for r in retriever.search(blank, 1, filter=late, ids=["rice", "moon", "orbit"])] == ["moon"]
    assert retriever.search(blank, filter=late, ids=[]) == retriever.search(blank, filter={"n": 9}) == []
    (listed, _, _), (asked, *_) = retriever.search_many([blank, QUERY], filter=late, top_k_tokens=3)
    assert (listed.explanation.to_metadata(), listed.explanation.residual) == ([], 0.0)
    assert asked == retriever.search(QUERY, 1, filter=late, top_k_tokens=3)[0]
    assert retriever.search(blank, 1, filter=late, top_k_tokens=0)[0].explanation is None
    assert len(retriever.search_diverse(blank, 2, filter=late)) == 2


def test_an_empty_query_without_a_filter_finds_nothing_and_a_threshold_lets_no_score_of_zero_pass(retriever):
    assert retriever.search("") == retriever.search(" ", filter={}) == retriever.search("", ids=IDS) == []
    assert retriever.search("", filter={"n": 1}, score_threshold=0.1) == []
    assert len(retriever.search("", filter={"n": 1}, score_threshold=0.0)) == 1


def test_several_queries_get_what_each_gets_alone(retriever):
    queries = [QUERY, "논", "", QUERY]
    assert [found(results) for results in retriever.search_many(queries, 2)] == [
        found(retriever.search(query, 2)) for query in queries
    ]
    assert retriever.search_many([]) == []
    with pytest.raises(InvalidTextError, match="search_many takes several"):
        retriever.search([QUERY])
    with pytest.raises(InvalidTextError, match="pass a list"):
        retriever.search_many(QUERY)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0},
        {"k": True},
        {"k": 2.0},
        {"k": None},
        {"top_k_tokens": -1},
        {"top_k_tokens": True},
        {"top_k_tokens": 1.5},
        {"score_threshold": math.nan},
        {"score_threshold": "1"},
        {"score_threshold": True},
    ],
    ids=str,
)
def test_what_is_not_a_number_in_range_is_refused_by_name(retriever, options):
    for search in (
        lambda: retriever.search(QUERY, **options),
        lambda: retriever.search_many([QUERY], **options),
        lambda: retriever.search_diverse(QUERY, **options),
    ):
        with pytest.raises(InvalidParameterError, match=next(iter(options))):
            search()


def test_numbers_of_numpy_are_numbers(retriever):
    here = retriever.search(QUERY, np.int64(2), top_k_tokens=np.int32(3), score_threshold=np.float32(0.5))
    assert found(here) == found(retriever.search(QUERY, 2, top_k_tokens=3, score_threshold=0.5))


def test_a_document_is_explained_whether_or_not_a_search_finds_it(retriever):
    result = retriever.search(QUERY, 1)[0]
    assert retriever.explain(QUERY, result.document.id, top_k_tokens=10) == result.explanation
    assert retriever.explain("김치", "rocket").score == 0
    with pytest.raises(DocumentNotFoundError, match="'nowhere'"):
        retriever.explain(QUERY, "nowhere")
    with pytest.raises(InvalidParameterError, match="top_k_tokens"):
        retriever.explain(QUERY, "rocket", top_k_tokens=-1)


@pytest.mark.new_process
def test_a_spawned_process_opens_the_retriever_that_it_is_handed(tmp_path, encoder):
    with SparseRetriever.open(tmp_path / "index.db", encoder=encoder) as retriever:
        retriever.add_texts(TEXTS, ids=IDS)
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            theirs = process.submit(retriever.search, QUERY).result()
        assert found(theirs) == found(retriever.search(QUERY))
        retriever.add_texts(["여기서는 계속 쓸 수 있다."])  # the other process held no lock


def test_a_copy_is_the_same_retriever_and_a_temporary_one_is_not_pickled(retriever):
    assert copy.copy(retriever) is retriever
    assert copy.deepcopy({"retriever": retriever})["retriever"] is retriever
    with pytest.raises(InvalidParameterError, match="open the retriever at a path"):
        pickle.dumps(retriever)


def test_a_source_that_was_open_stays_its_openers(tmp_path, encoder):
    path = tmp_path / "corpus.db"
    with SparseRetriever.open(path, encoder=encoder) as opened:
        opened.add_texts(TEXTS)
        assert SparseRetriever.from_source(opened, encoder=encoder) == (opened, False)
        over_index, owned = SparseRetriever.from_source(opened.index, encoder=encoder)
        assert (over_index.index, owned) == (opened.index, False)
        with pytest.raises(InvalidParameterError, match="encoder of its own"):
            SparseRetriever.from_source(opened, encoder=object())
    over_file, owned = SparseRetriever.from_source(path, encoder=encoder)
    with over_file:
        assert (len(over_file), owned) == (4, True)
    with pytest.raises(InvalidParameterError, match="list"):
        SparseRetriever.from_source([path], encoder=encoder)


def test_a_new_index_stores_weights_as_it_is_told_and_an_existing_one_as_it_does(tmp_path, encoder):
    path = tmp_path / "corpus.db"
    with SparseRetriever.open(path, encoder=encoder, weights="uint8") as small:
        assert small.index.weights == "uint8"
        small.add_texts(TEXTS)
    with SparseRetriever.open(path, encoder=encoder) as again:
        assert again.index.weights == "uint8"
    with pytest.raises(IncompatibleIndexError, match="uint8"):
        SparseRetriever.open(path, encoder=encoder, weights="float32")
    with pytest.raises(InvalidParameterError, match="int4"):
        SparseRetriever.open(encoder=encoder, weights="int4")


def test_what_a_search_returns_is_the_callers_to_change(retriever):
    first = retriever.search(QUERY)
    before = [dict(result.document.metadata) for result in first]
    for result in first:
        result.document.metadata.clear()
    assert [dict(result.document.metadata) for result in retriever.search(QUERY)] == before


# What Python puts into metadata


def test_dates_and_numbers_of_other_libraries_are_stored_and_found_by_either_form(encoder):
    metadata = {
        "when": dt.datetime(2024, 5, 1, 10, tzinfo=dt.timezone.utc),
        "n": np.float32(0.5),
        "key": UUID(int=7),
        "price": Decimal("9.9"),
    }
    with SparseRetriever.open(":memory:", encoder=encoder) as opened:
        opened.add_texts(TEXTS[:1], [metadata], ["a"])
        assert opened.get(["a"])[0].metadata == {
            "when": "2024-05-01T10:00:00+00:00",
            "n": 0.5,
            "key": "00000000-0000-0000-0000-000000000007",
            "price": 9.9,
        }
        for name, value in metadata.items():
            assert opened.index.ids(filter={name: value}) == ["a"]
        assert opened.add_stream([Document("a", TEXTS[0], metadata)]) == Indexed(added=0, updated=0, unchanged=1)
        with pytest.raises(
            InvalidDocumentError, match=r"document 2, counted from 1 .*metadata\['x'\]\['y'\] is of type set"
        ):
            opened.add_texts(TEXTS, [{}, {"x": {"y": {1}}}, {}, {}])
        assert len(opened) == 1


# Places for an index


def test_the_path_memory_is_a_temporary_index(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SparseRetriever.open(":memory:", encoder=encoder) as opened:
        opened.add_texts(TEXTS)
        place = opened.index.path
        assert place.exists()
    assert not place.exists()
    assert list(tmp_path.iterdir()) == []


def test_an_open_that_fails_leaves_no_temporary_folder(encoder, tmp_path, monkeypatch):
    class Odd:
        """An encoder of a vocabulary that no index can be over."""

        vocabulary_size = -1
        fingerprint = "odd"

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for options in ({"encoder": encoder, "weights": "float8"}, {"encoder": Odd()}):
        with pytest.raises(InvalidParameterError):
            SparseRetriever.open(**options)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_a_place_for_a_new_index(encoder, tmp_path):
    path = tmp_path / "made-by-mkstemp.db"
    path.touch()
    with SparseRetriever.open(path, encoder=encoder, weights="uint8") as opened:
        assert len(opened) == 0
        assert path.stat().st_size == 0
        opened.add_texts(TEXTS)
    with SparseRetriever.open(path, encoder=encoder) as opened:
        assert len(opened) == 4
        assert opened.index.check().sound


# Making an index equal to its sources


def pages(source, *texts):
    return [Document(f"{source}#{n}", text, {"source": source}) for n, text in enumerate(texts, start=1)]


@pytest.fixture
def library(encoder, tmp_path):
    with SparseRetriever.open(tmp_path / "index.db", encoder=encoder) as opened:
        opened.add([*pages("a", *TEXTS[:3]), *pages("b", *TEXTS)])
        yield opened


def test_what_is_gone_from_the_documents_goes_from_the_index(library, encoder, monkeypatch):
    inner, encoded = encoder.encode_documents, []
    monkeypatch.setattr(encoder, "encode_documents", lambda texts, **_: (encoded.extend(texts), inner(texts))[1])
    kept = [*pages("a", TEXTS[0], "새 글이다."), *pages("b", *TEXTS[:3])]
    assert library.sync(kept) == Indexed(added=0, updated=1, unchanged=4, deleted=2)
    assert encoded == ["새 글이다."]
    assert sorted(library.index.ids()) == ["a#1", "a#2", "b#1", "b#2", "b#3"]
    generation = library.index.stats().generation
    assert library.sync(document for document in kept) == Indexed(added=0, updated=0, unchanged=5)
    assert library.index.stats().generation == generation


def test_one_source_is_made_equal_and_the_others_stay(library):
    done = library.sync(pages("a", TEXTS[0]), filter={"source": "a"})
    assert done == Indexed(added=0, updated=0, unchanged=1, deleted=2)
    assert library.index.ids() == ["a#1", "b#1", "b#2", "b#3", "b#4"]
    assert library.sync([], filter={"source": "a"}).deleted == 1
    with pytest.raises(
        InvalidDocumentError, match=r"document 2, counted from 1 \(id 'b#1'\), does not pass the filter"
    ):
        library.sync([*pages("a", "글"), *pages("b", "글")], filter={"source": "a"})
    assert library.get(["a#1"]) == [None]


def test_more_than_half_goes_only_when_that_is_meant(library):
    before = library.index.stats().generation
    for documents in ([], pages("a", *TEXTS)):
        with pytest.raises(InvalidParameterError, match=r"of 7 stored documents.*max_deleted=1"):
            library.sync(documents)
    assert library.index.stats().generation == before
    assert library.sync(pages("b", *TEXTS), max_deleted=3 / 7).deleted == 3
    assert library.sync([], max_deleted=1).deleted == 4
    for share in (-0.1, 1.1, True, "all"):
        with pytest.raises(InvalidParameterError, match="max_deleted"):
            library.sync([], max_deleted=share)


def test_a_bad_document_changes_nothing(library):
    before = library.index.stats().generation
    with pytest.raises(DuplicateIdError, match="document 2, counted from 1"):
        library.sync([*pages("a", "글"), *pages("a", "글")], max_deleted=1)
    with pytest.raises(InvalidTextError, match="document 5"):
        library.sync([*pages("b", *TEXTS), Document("c", None)], max_deleted=1)
    assert library.index.stats().generation == before


def test_what_is_in_the_documents_is_there_at_every_moment(library, monkeypatch):
    def interrupted(ids):
        raise KeyboardInterrupt

    monkeypatch.setattr(library.index, "delete", interrupted)
    kept = [*pages("a", "새 글이다."), *pages("b", *TEXTS)]
    with pytest.raises(KeyboardInterrupt):
        library.sync(kept)
    assert library.get([document.id for document in kept]) == kept


# A temporary index that is to stay after all


def test_a_temporary_index_is_saved_and_goes_on_where_it_was_saved(encoder, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with SparseRetriever.open(encoder=encoder, weights="float16") as retriever:
        with pytest.raises(IndexNotFoundError):
            retriever.backup(tmp_path / "kept.db")
        retriever.add_texts(TEXTS, ids=IDS)
        before = found(retriever.search(QUERY))
        retriever.backup(tmp_path / "kept.db")
        assert found(retriever.search(QUERY)) == before
        assert (retriever.index.path, retriever.index.weights) == (tmp_path / "kept.db", "float16")
        assert list((tmp_path / "tmp").iterdir()) == []
        retriever.add_texts(["새 위성"], ids=["new"])
        assert pickle.loads(pickle.dumps(retriever)).ids() == [*IDS, "new"]
        with pytest.raises(StorageError, match="already exists"):
            retriever.backup(tmp_path / "kept.db")
        retriever.backup(tmp_path / "copy.db")
        assert retriever.index.path == tmp_path / "kept.db"
    with SparseRetriever.from_index(tmp_path / "copy.db", encoder=encoder) as copied:
        assert copied.ids() == [*IDS, "new"]
