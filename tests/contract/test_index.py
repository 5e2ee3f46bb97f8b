"""What every index engine promises, whatever it is built on. Add an engine by adding a parameter."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from engines.fixtures import new_index, server_engines
from vectors import documents, random_vectors

from pixie_retrievers import (
    Document,
    DocumentNotFoundError,
    DuplicateIdError,
    FilterError,
    IncompatibleIndexError,
    IndexClosedError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
    InvalidVectorError,
    SparseRetriever,
    SparseVectors,
    SqliteIndex,
)
from pixie_retrievers.index.base import Index

VOCABULARY_SIZE = 200


EMBEDDED = ["float32", "float16", "uint8"]


@pytest.fixture(params=[*EMBEDDED, *server_engines()])
def index(request, tmp_path):
    if request.param in EMBEDDED:
        with SqliteIndex(
            tmp_path / "index.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1", weights=request.param
        ) as index:
            yield index
    else:
        with new_index(request, vocabulary_size=VOCABULARY_SIZE, fingerprint="model-1") as index:
            yield index


@pytest.fixture
def filled(index):
    index.upsert(documents(50), random_vectors(50))
    return index


def one(*terms: int) -> SparseVectors:
    return SparseVectors.from_dicts([dict.fromkeys(terms, 1.0)], VOCABULARY_SIZE)


def ids(index, query, k=10, **kwargs):
    return [hit.document.id for hit in index.search(query, k, **kwargs)[0]]


def test_it_answers_the_protocol(index):
    assert isinstance(index, Index)
    assert (index.vocabulary_size, index.fingerprint) == (VOCABULARY_SIZE, "model-1")


def test_texts_that_were_cut_are_counted_as_long_as_they_can_be_found(index):
    vectors = replace(random_vectors(20), cut=np.arange(20) % 4 == 0)
    counts = [index.stats().n_cut]

    def count(change):
        change()
        counts.append(index.stats().n_cut)

    count(lambda: index.upsert(documents(20), vectors))
    count(lambda: index.delete(["d0", "d1"]))
    count(lambda: index.upsert(documents(1, start=4), vectors[5]))  # it was cut, and is not any more
    count(lambda: index.upsert(documents(1, start=5), vectors[8]))
    count(lambda: index.upsert(documents(1, start=8), vectors[12]))
    assert counts == [0, 5, 4, 3, 4, 4]
    assert index.vectors(["d4", "d5", "d8", "d9", "d12"]).cut.tolist() == [False, True, True, False, True]
    count(index.compact)
    count(lambda: index.delete(["d8", "d9"]))
    count(lambda: index.delete([f"d{n}" for n in range(20)]))
    assert counts[-3:] == [4, 3, 0]


def test_an_index_with_nothing_in_it_finds_nothing(index):
    assert index.search(random_vectors(2), 3) == [[], []]
    assert index.get(["d1"]) == [None]
    assert index.match(one(1), ["d1"]) == [None]
    assert index.delete(["d1"]) == 0
    assert len(index) == 0


def test_documents_come_back_as_they_went_in(index):
    document = Document(
        "글/1 \n\x00", "한글 Ελλ 🙂\x00\n둘째 줄", {"a": [1, 2.5, None, {"깊이": True}], "b": "x\u2028y"}
    )
    index.upsert([document], one(3))
    assert index.get([document.id]) == [document]
    assert index.search(one(3), 1)[0][0].document == document


def test_a_score_is_the_sum_over_shared_terms(index):
    index.upsert(documents(1), SparseVectors.from_dicts([{1: 0.5, 2: 2.0, 9: 1.0}], VOCABULARY_SIZE))
    (hit,) = index.search(SparseVectors.from_dicts([{1: 3.0, 2: 1.0, 4: 7.0}], VOCABULARY_SIZE), 1)[0]
    assert hit.score == pytest.approx(3.5, rel=0.01)
    assert hit.score == hit.matches.contributions.sum()
    assert hit.matches.term_ids.tolist() == [1, 2]


def test_contributions_sum_to_the_score_and_scores_fall(filled):
    for hits in filled.search(random_vectors(20, seed=1), 50):
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        for hit in hits:
            assert hit.matches.contributions.sum() == pytest.approx(hit.score, rel=1e-5)


def test_equal_scores_keep_the_order_of_insertion(index):
    vectors = SparseVectors.from_dicts([{5: 1.0}] * 30, VOCABULARY_SIZE)
    for start in range(0, 30, 10):
        index.upsert(documents(10, start=start), vectors[start : start + 10])
    assert ids(index, one(5), 25) == [f"d{i}" for i in range(25)]


def test_an_upsert_replaces_and_counts_as_newly_inserted(index):
    index.upsert(documents(3), SparseVectors.from_dicts([{5: 1.0}] * 3, VOCABULARY_SIZE))
    index.upsert([Document("d0", "새 글", {"new": True})], one(5))
    assert len(index) == 3
    assert ids(index, one(5)) == ["d1", "d2", "d0"]
    assert index.get(["d0"]) == [Document("d0", "새 글", {"new": True})]


def test_a_replaced_document_is_no_longer_found_by_its_old_terms(index):
    index.upsert(documents(1), one(5))
    index.upsert(documents(1), one(6))
    assert (ids(index, one(5)), ids(index, one(6))) == ([], ["d0"])


def test_a_thousand_upserts_of_one_id_leave_one_document(index):
    for n in range(100):
        index.upsert([Document("d0", str(n))], one(n % VOCABULARY_SIZE))
    assert len(index) == 1
    assert index.get(["d0"]) == [Document("d0", "99")]
    assert ids(index, one(99)) == ["d0"]


def test_delete_says_how_many_existed(filled):
    assert filled.delete(["d3", "d3", "d4", "nothing"]) == 2
    assert filled.delete(["d3"]) == 0
    assert filled.get(["d3", "d5"])[0] is None
    assert len(filled) == 48


def test_ids_are_listed_in_insertion_order_filtered_and_limited(filled):
    filled.delete(["d3"])
    filled.upsert(documents(1, start=1), random_vectors(1))
    everything = [f"d{i}" for i in range(50) if i not in (1, 3)] + ["d1"]
    assert filled.ids() == everything
    assert filled.ids(limit=5) == everything[:5]
    assert filled.ids(limit=0) == []
    assert filled.ids(limit=1_000) == everything
    assert filled.ids(offset=47) == everything[47:]
    assert filled.ids(limit=5, offset=10) == everything[10:15]
    assert filled.ids(limit=5, offset=50) == []
    assert filled.ids(filter={"even": False}, limit=3) == ["d5", "d7", "d9"]
    assert filled.ids(filter={"even": False}, limit=2, offset=1) == ["d7", "d9"]
    for filter in (None, {}, {"even": True}, {"n": {"$gte": 48}}, {"n": -1}, lambda metadata: metadata["n"] < 3):
        assert filled.count(filter=filter) == len(filled.ids(filter=filter))
    assert filled.ids(filter=lambda metadata: metadata["n"] < 3) == ["d0", "d2", "d1"]
    with pytest.raises(InvalidParameterError, match="limit"):
        filled.ids(limit=-1)
    with pytest.raises(FilterError, match="near"):
        filled.ids(filter={"n": {"$near": 2}})


def test_an_index_with_nothing_in_it_lists_nothing(index):
    assert index.ids() == []


def test_an_index_that_lost_all_its_documents_takes_new_ones(filled):
    assert filled.delete([f"d{i}" for i in range(50)]) == 50
    assert filled.search(random_vectors(1), 5) == [[]]
    filled.upsert(documents(2), random_vectors(2))
    assert len(filled) == 2


def test_a_document_without_terms_is_stored_but_never_found(index):
    index.upsert(documents(2), SparseVectors.from_dicts([{}, {1: 1.0}], VOCABULARY_SIZE))
    assert len(index) == 2
    assert ids(index, one(*range(VOCABULARY_SIZE))) == ["d1"]


def test_nothing_to_store_is_not_an_error(index):
    index.upsert([], SparseVectors.from_dicts([], VOCABULARY_SIZE))
    assert len(index) == 0


def test_a_query_without_known_terms_finds_nothing(filled):
    assert filled.search(SparseVectors.from_dicts([{}], VOCABULARY_SIZE), 5) == [[]]
    assert filled.search(SparseVectors.from_dicts([], VOCABULARY_SIZE), 5) == []


def test_k_beyond_the_corpus_returns_what_there_is(filled):
    everything = one(*range(VOCABULARY_SIZE))
    assert len(filled.search(everything, 10_000)[0]) == 50
    assert len(filled.search(everything, 51)[0]) == 50
    assert len(filled.search(everything, 50)[0]) == 50


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True])
def test_k_must_be_a_whole_number_of_one_or_more(filled, k):
    with pytest.raises(InvalidParameterError, match="k is"):
        filled.search(one(1), k)


def test_k_results_come_back_whenever_k_pass_the_filter(filled):
    everything = one(*range(VOCABULARY_SIZE))
    assert len(ids(filled, everything, 25, filter={"even": True})) == 25
    assert ids(filled, everything, 5, filter={"n": {"$gte": 48}}) in (["d48", "d49"], ["d49", "d48"])
    assert ids(filled, everything, 5, filter=lambda metadata: metadata["n"] == 7) == ["d7"]
    assert ids(filled, everything, 5, filter={"n": -1}) == []
    filled.delete(["d48"])
    assert ids(filled, everything, 5, filter={"n": {"$gte": 48}}) == ["d49"]


def test_an_unknown_filter_operator_is_refused(filled):
    with pytest.raises(FilterError, match="near"):
        filled.search(one(1), 1, filter={"n": {"$near": 3}})


def test_only_the_ids_asked_for_are_searched(filled):
    everything = one(*range(VOCABULARY_SIZE))
    asked = [f"d{i}" for i in range(0, 50, 3)]
    found = ids(filled, everything, 50)
    assert ids(filled, everything, 50, ids=asked) == [id for id in found if id in asked]
    assert ids(filled, everything, 3, ids=asked) == [id for id in found if id in asked][:3]
    assert filled.search(everything, 50, ids=[*asked, "nobody", *asked[::-1]]) == filled.search(
        everything, 50, ids=asked
    )
    assert ids(filled, everything, 5, ids=["nobody"]) == ids(filled, everything, 5, ids=[]) == []
    for hits, whole in zip(
        filled.search(random_vectors(9, seed=2), 5, ids=asked),
        filled.search(random_vectors(9, seed=2), 50),
        strict=True,
    ):
        assert hits == [hit for hit in whole if hit.document.id in asked][:5]


def test_ids_and_a_filter_both_hold_and_deleted_documents_stay_away(filled):
    everything = one(*range(VOCABULARY_SIZE))
    asked = [f"d{i}" for i in range(10, 30)]
    filled.delete(["d12", "d40"])
    found = set(ids(filled, everything, 50, ids=[*asked, "d40"], filter={"even": True}))
    assert found == {f"d{i}" for i in range(10, 30, 2)} - {"d12"}
    assert set(ids(filled, everything, 50, ids=asked, filter=lambda metadata: metadata["n"] > 27)) == {"d28", "d29"}
    filled.upsert(documents(1, start=12), random_vectors(1))
    assert "d12" in ids(filled, everything, 50, ids=asked)
    with pytest.raises(FilterError, match="near"):
        filled.search(everything, 1, ids=asked, filter={"n": {"$near": 3}})


def test_among_ids_too_equal_scores_keep_the_order_of_insertion(index):
    vectors = SparseVectors.from_dicts([{5: 1.0}] * 30, VOCABULARY_SIZE)
    for start in range(0, 30, 10):
        index.upsert(documents(10, start=start), vectors[start : start + 10])
    assert ids(index, one(5), 4, ids=["d25", "d3", "d14", "d2", "d29"]) == ["d2", "d3", "d14", "d25"]


def test_whole_vectors_come_back_in_the_order_of_the_ids(index):
    vectors = random_vectors(30, seed=4).with_literal([range(i % 3, VOCABULARY_SIZE, 3) for i in range(30)])
    for start in range(0, 30, 10):
        index.upsert(documents(10, start=start), vectors[start : start + 10])
    asked = [29, 0, 13, 0, 20]
    found = index.vectors([f"d{i}" for i in asked])
    for row, i in zip(found, asked, strict=True):
        assert row.term_ids.tolist() == vectors[i].term_ids.tolist()
        assert row.literal.tolist() == vectors[i].literal.tolist()
        np.testing.assert_allclose(row.weights, vectors[i].weights, atol=float(vectors[i].weights.max()) / 255)
        if index.weights == "float32":
            assert row == vectors[i]
    assert len(index.vectors([])) == 0
    index.delete(["d1"])
    index.compact()
    assert index.vectors([f"d{i}" for i in asked]) == found


def test_whole_vectors_have_the_weights_that_scores_are_made_of(filled):
    query = random_vectors(1, seed=6)
    for hit in filled.search(query, 10)[0]:
        weights = filled.vectors([hit.document.id]).to_dicts()[0]
        assert [weights[term] for term in hit.matches.term_ids.tolist()] == hit.matches.document_weights.tolist()


def test_a_vector_is_replaced_with_its_document_and_goes_with_it(filled):
    filled.upsert(documents(1, start=7), one(3).with_literal([{3}]))
    (found,) = filled.vectors(["d7"])
    assert (found.to_dicts(), found.literal.tolist()) == ([{3: 1.0}], [True])
    filled.upsert(documents(1, start=8), SparseVectors.from_dicts([{}], VOCABULARY_SIZE))
    assert filled.vectors(["d8"]).to_dicts() == [{}]
    filled.delete(["d7"])
    for missing in (["d7"], ["d1", "nobody"]):
        with pytest.raises(DocumentNotFoundError, match=missing[-1]):
            filled.vectors(missing)


def test_an_index_with_nothing_in_it_has_no_vectors(index):
    assert len(index.vectors([])) == 0
    with pytest.raises(DocumentNotFoundError, match="d1"):
        index.vectors(["d1"])


def test_matches_say_what_is_literal_in_the_query_and_in_the_document(index):
    index.upsert(documents(1), one(1, 2, 3).with_literal([{1, 2}]))
    query = one(2, 3, 4).with_literal([{3, 4}])
    (hit,) = index.search(query, 1)[0]
    assert hit.matches == index.match(query, ["d0"])[0]
    assert hit.matches.term_ids.tolist() == [2, 3]
    assert hit.matches.in_query.tolist() == [False, True]
    assert hit.matches.in_document.tolist() == [True, False]


def test_match_explains_any_document_even_one_a_search_would_not_return(filled):
    query = random_vectors(1, seed=3)
    found = {hit.document.id: hit.matches for hit in filled.search(query, 50)[0]}
    for id, matches in zip(found, filled.match(query, list(found)), strict=True):
        assert matches == found[id]
    assert filled.match(query, ["d1", "nobody", "d1"])[1] is None
    absent = SparseVectors.from_dicts([{}], VOCABULARY_SIZE)
    assert len(filled.match(absent, ["d1"])[0]) == 0
    with pytest.raises(InvalidVectorError, match="one query"):
        filled.match(random_vectors(2), ["d1"])


def bad_batches():
    good = Document("new", "글")
    return {
        "duplicate ids": ([good, good], DuplicateIdError),
        "an id that is no string": ([good, Document(7, "글")], InvalidDocumentError),
        "an empty id": ([good, Document("", "글")], InvalidDocumentError),
        "a lone surrogate in the id": ([good, Document("\ud800", "글")], InvalidDocumentError),
        "a lone surrogate in the text": ([good, Document("b", "글\udcff")], InvalidTextError),
        "a text that is no string": ([good, Document("b", None)], InvalidTextError),
        "bytes in the metadata": ([good, Document("b", "글", {"x": b"y"})], InvalidDocumentError),
        "NaN in the metadata": ([good, Document("b", "글", {"x": [float("nan")]})], InvalidDocumentError),
        "a key that is no string": ([good, Document("b", "글", {"x": {1: 2}})], InvalidDocumentError),
        "a surrogate in the metadata": ([good, Document("b", "글", {"x": "\ud800"})], InvalidDocumentError),
        "metadata that is no mapping": ([good, Document("b", "글", ["x"])], InvalidDocumentError),
        "something else than a document": ([good, "글"], InvalidDocumentError),
    }


@pytest.mark.parametrize("case", bad_batches())
def test_a_bad_document_fails_its_batch_whole_and_changes_nothing(filled, case):
    batch, error = bad_batches()[case]
    before = filled.stats()
    with pytest.raises(error):
        filled.upsert(batch, random_vectors(len(batch)))
    assert filled.stats() == before
    assert filled.get(["new"]) == [None]


def test_metadata_that_holds_itself_is_refused(filled):
    loop: dict = {}
    loop["self"] = loop
    with pytest.raises(InvalidDocumentError, match="nested"):
        filled.upsert([Document("x", "글", loop)], one(1))


def test_vectors_of_another_vocabulary_are_refused(filled):
    other = random_vectors(1, vocabulary_size=300)
    for attempt in (lambda: filled.upsert(documents(1), other), lambda: filled.search(other, 1)):
        with pytest.raises(IncompatibleIndexError, match=r"200 terms.*300"):
            attempt()


def test_as_many_vectors_as_documents_are_needed(filled):
    with pytest.raises(InvalidVectorError, match="one vector a document, not 3 for 2"):
        filled.upsert(documents(2), random_vectors(3))


def test_ids_are_a_list_not_a_string(filled):
    def search(ids):
        return filled.search(one(1), 1, ids=ids)

    def match(ids):
        return filled.match(one(1), ids)

    for attempt in (filled.get, filled.delete, filled.vectors, search, match):
        with pytest.raises(InvalidDocumentError, match="one string"):
            attempt("d1")
        with pytest.raises(InvalidDocumentError, match="int"):
            attempt([1])


def test_a_closed_index_says_so(filled):
    filled.close()
    filled.close()
    for attempt in (lambda: filled.search(one(1), 1), lambda: filled.get(["d1"]), lambda: filled.delete(["d1"])):
        with pytest.raises(IndexClosedError, match="open the index again"):
            attempt()


def test_compacting_changes_no_result(index):
    vectors = random_vectors(300, seed=4)
    for start in range(0, 300, 7):
        index.upsert(documents(len(vectors[start : start + 7]), start=start), vectors[start : start + 7])
    index.delete([f"d{i}" for i in range(0, 300, 3)])
    queries = random_vectors(20, seed=5)
    before = index.search(queries, 15)
    if isinstance(index, SqliteIndex):  # not every server tells
        assert index.stats().n_segments > 1
    index.compact()
    assert index.search(queries, 15) == before
    assert len(index) == 200
    if isinstance(index, SqliteIndex):  # a server keeps what was deleted a while, for copies that are behind
        assert (index.stats().n_segments, index.stats().n_deleted) == (1, 0)
    assert index.check().sound


def test_a_batch_answers_as_its_queries_one_by_one(filled):
    queries = random_vectors(10, seed=6)
    assert filled.search(queries, 7) == [filled.search(query, 7)[0] for query in queries]


def test_rounded_weights_stay_close(tmp_path):
    vectors, queries = random_vectors(400, seed=7), random_vectors(30, seed=8)
    found = {}
    for weights in ("float32", "float16", "uint8"):
        with SqliteIndex(tmp_path / weights, vocabulary_size=VOCABULARY_SIZE, weights=weights) as index:
            index.upsert(documents(400), vectors)
            found[weights] = [{hit.document.id: hit.score for hit in hits} for hits in index.search(queries, 10)]
    for weights, tolerance, overlap in (("float16", 2e-3, 0.99), ("uint8", 2e-2, 0.93)):
        pairs = list(zip(found["float32"], found[weights], strict=True))
        for exact, rounded in pairs:
            for id in exact.keys() & rounded.keys():
                assert rounded[id] == pytest.approx(exact[id], rel=tolerance)
        assert np.mean([len(exact.keys() & rounded.keys()) / 10 for exact, rounded in pairs]) >= overlap


def test_metadata_of_a_hundred_levels_and_a_long_id_come_back(index):
    metadata: dict[str, object] = {"끝": 1}
    for level in range(65):  # lists are levels too
        metadata = {f"단계 {level}": metadata} if level % 2 else {"목록": [metadata]}
    document = Document("긴 이름/" * 5000, "글", metadata)
    index.upsert([document], one(3))
    assert index.get([document.id]) == [document]
    assert index.search(one(3), 1, ids=[document.id])[0][0].document == document


def test_writers_and_readers_at_once_lose_nothing_and_read_no_halves(index):
    vectors = random_vectors(240, seed=11)
    expected = {f"d{i}": vectors[i].to_dicts()[0] for i in range(240)}
    query = random_vectors(1, seed=12)
    weights = query.to_dicts()[0]
    stop = threading.Event()
    wrong: list[str] = []

    def write(start):
        for first in range(start, 240, 80):
            rows = range(first, first + 20)
            part = SparseVectors.concatenate([vectors[row] for row in rows], VOCABULARY_SIZE)
            index.upsert([documents(1, start=row)[0] for row in rows], part)

    def read():
        while not stop.is_set():
            for hit in index.search(query, 10)[0]:
                theirs = expected[hit.document.id]
                score = sum(weights[term] * theirs[term] for term in weights if term in theirs)
                if abs(hit.score - score) > 0.02 * score:  # weights may be rounded
                    wrong.append(hit.document.id)

    with ThreadPoolExecutor(6) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        writers = [threads.submit(write, start) for start in (0, 20, 40, 60)]
        for writer in writers:
            writer.result()
        stop.set()
        for reader in readers:
            reader.result()
    assert wrong == []
    assert sorted(index.ids()) == sorted(expected)


# What a retriever says when somebody asks why


class Numbers:
    """An encoder whose texts are numbers of terms."""

    vocabulary_size, fingerprint = VOCABULARY_SIZE, "model-1"

    def encode_documents(self, texts, *, show_progress=False):
        return SparseVectors.from_dicts([{int(word): 1.0 for word in text.split()} for text in texts], VOCABULARY_SIZE)

    encode_queries = encode_documents

    def tokens(self, term_ids):
        return [str(term) for term in term_ids]

    surfaces = tokens


def test_a_retriever_says_why_over_any_index(index):
    retriever = SparseRetriever(Numbers(), index)
    texts = [" ".join(str(term) for term in range(1, n)) for n in range(2, 40)]
    retriever.add([Document(f"d{n}", text, {"even": n % 2 == 0}) for n, text in enumerate(texts)])
    query = " ".join(str(term) for term in range(1, 60))
    for n in (0, 17, 37):
        told = retriever.why_not(query, f"d{n}", k=1)
        assert (told.verdict, told.rank) == ("found" if n == 37 else "ranked lower", 38 - n)
        assert [token.surface for token in told.cost] == [str(term) for term in range(n + 2, 39)]
    assert retriever.why_not(query, "d20", k=3, filter={"even": True}).rank == 9
    assert retriever.why_not(query, "d21", k=3, filter={"even": True}).verdict == "filtered out"
    assert retriever.why_not("199", "d21").verdict == "shares no token"
    assert retriever.why_not("199", "nowhere").verdict == "not there"
    told = retriever.compare("1 5 9", "d2", "d8")
    assert [(token.surface, round(token.difference, 2)) for token in told.tokens] == [("5", -1), ("9", -1), ("1", 0)]
    assert [token.surface for token in retriever.explain_document("d1").tokens] == ["1", "2"]
