"""The real index against the model card's rules in plain Python, over random vectors, upserts and deletes."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import Reference

from pixie_retrievers import Document, SparseVectors, SqliteIndex

VOCABULARY_SIZE = 12

# Few distinct weights make ties, many make near-ties: both must come out right.
weights = st.one_of(
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    st.floats(2.0**-40, 2.0**20, width=32),
)
vectors = st.dictionaries(st.integers(0, VOCABULARY_SIZE - 1), weights, max_size=8)
ids = st.sampled_from([f"문서{i}" for i in range(9)])
upserts = st.tuples(st.just("upsert"), st.dictionaries(ids, vectors, min_size=1, max_size=6))
deletes = st.tuples(st.just("delete"), st.lists(ids, min_size=1, max_size=4))
compactions = st.tuples(st.just("compact"), st.none())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.one_of(upserts, upserts, deletes, compactions), max_size=12),
    queries=st.lists(vectors, min_size=1, max_size=3),
    k=st.integers(1, 12),
)
def test_any_history_of_upserts_and_deletes_searches_like_the_reference(steps, queries, k):
    reference = Reference()
    with (
        TemporaryDirectory() as folder,
        SqliteIndex(f"{folder}/index.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="test") as index,
    ):
        for action, content in steps:
            if action == "upsert":
                rows = SparseVectors.from_dicts(content.values(), VOCABULARY_SIZE)
                index.upsert([Document(id, f"{id}의 글", {"terms": len(content[id])}) for id in content], rows)
                reference.upsert(list(content), rows.to_dicts())
            elif action == "delete":
                assert index.delete(content) == reference.delete(content)
            else:
                index.compact()
            assert len(index) == len(reference.documents)
        batch = SparseVectors.from_dicts(queries, VOCABULARY_SIZE)
        for query, hits in zip(batch.to_dicts(), index.search(batch, k), strict=True):
            assert [(hit.document.id, hit.score) for hit in hits] == reference.search(query, k)
            for hit in hits:
                shared = reference.contributions(query, hit.document.id)
                assert dict(zip(hit.matches.term_ids.tolist(), hit.matches.contributions.tolist(), strict=True)) == {
                    term: contribution for term, _, _, contribution in shared
                }
                np.testing.assert_allclose(hit.matches.contributions.sum(), hit.score, rtol=1e-5)
        assert index.check().sound


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(vectors, min_size=1, max_size=10),
    query=vectors,
    k=st.integers(1, 5),
    keep=st.sets(st.integers(0, 9)),
)
def test_a_filter_gives_what_the_reference_gives_without_the_other_documents(rows, query, k, keep):
    batch = SparseVectors.from_dicts(rows, VOCABULARY_SIZE)
    reference = Reference()
    kept = [n for n in range(len(rows)) if n in keep]
    reference.upsert([f"d{n}" for n in kept], [batch[n].to_dicts()[0] for n in kept])
    question = SparseVectors.from_dicts([query], VOCABULARY_SIZE)
    with (
        TemporaryDirectory() as folder,
        SqliteIndex(f"{folder}/index.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="test") as index,
    ):
        index.upsert([Document(f"d{n}", "", {"n": n}) for n in range(len(rows))], batch)
        (by_dict,) = index.search(question, k, filter={"n": {"$in": sorted(keep)}})
        (by_callable,) = index.search(question, k, filter=lambda metadata: metadata["n"] in keep)
    expected = reference.search(question.to_dicts()[0], k)
    assert [(hit.document.id, hit.score) for hit in by_dict] == expected
    assert by_callable == by_dict
