"""Random corpora, searched by the index and by the reference: the same documents, scores, contributions and bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from figures import CORPORA, holds
from reference import Reference

from pixie_retrievers import Document, SparseVectors, SqliteIndex

V = 40


def literal(id, row):
    """Which terms a document, or a query, is literally made of."""
    return frozenset(term for term in row if (term + len(id) + len(row)) % 2)


def sparse(ids, rows):
    rows = [{term: float(np.float32(weight)) for term, weight in row.items()} for row in rows]
    return SparseVectors.from_dicts(rows, V).with_literal([literal(id, row) for id, row in zip(ids, rows, strict=True)])


def random_rows(rng, n):
    """Rows of all lengths; weights of few values (ties), of many, and of the ends of what is allowed."""
    rows = []
    for _ in range(n):
        terms = rng.choice(V, int(rng.integers(0, 12)), replace=False)
        kind = rng.integers(4)
        if kind == 0:
            weights = rng.choice([0.25, 0.5, 1.0], len(terms))
        elif kind == 1:
            weights = rng.gamma(2, 0.5, len(terms)) + 1e-3
        elif kind == 2:
            weights = 1 + rng.integers(0, 4, len(terms)) * 2.0**-23  # neighbours in float32
        else:
            weights = 2.0 ** rng.uniform(-50, 40, len(terms))
        rows.append({int(term): float(weight) for term, weight in zip(terms, weights, strict=True)})
    return rows


@holds(CORPORA)
def test_random_corpora_are_searched_as_the_reference_searches_them(tmp_path):
    rng = np.random.default_rng(9)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=V, fingerprint="test") as index:
        for corpus in range(CORPORA.n):
            reference = Reference()
            index.delete([f"{corpus - 1}-{i}" for i in range(60)])
            for _ in range(int(rng.integers(1, 4))):
                chosen = [f"{corpus}-{i}" for i in rng.choice(60, int(rng.integers(1, 25)), replace=False)]
                rows = sparse(chosen, random_rows(rng, len(chosen)))
                index.upsert([Document(id, "", {"odd": int(id[-1]) % 2}) for id in chosen], rows)
                reference.upsert(chosen, rows.to_dicts())
            for _ in range(int(rng.integers(0, 3))):
                gone = [f"{corpus}-{i}" for i in rng.choice(60, 5, replace=False)]
                assert index.delete(gone) == reference.delete(gone)
            queries = sparse(["query"] * 3, random_rows(rng, 3))
            k = int(rng.integers(1, 40))
            asked = [f"{corpus}-{i}" for i in rng.integers(0, 70, int(rng.integers(0, 30)))]  # some twice, some unknown
            there = list(reference.documents)
            vectors = index.vectors(there)
            assert vectors.to_dicts() == list(reference.documents.values())
            assert vectors == sparse(there, reference.documents.values())
            for filter, ids in itertools.product((None, {"odd": 1}), (None, asked)):
                oracle = Reference()
                oracle.documents = {
                    id: row
                    for id, row in reference.documents.items()
                    if (filter is None or int(id[-1]) % 2) and (ids is None or id in ids)
                }
                found = index.search(queries, k, filter=filter, ids=ids)
                for query, hits in zip(queries.to_dicts(), found, strict=True):
                    expected = oracle.search(query, k)
                    assert [hit.document.id for hit in hits] == [id for id, _ in expected], (corpus, k, filter)
                    for hit, (id, score) in zip(hits, expected, strict=True):
                        assert hit.score == pytest.approx(score, rel=1e-5)
                        assert hit.matches.contributions.sum() == pytest.approx(hit.score, rel=1e-5)
                        assert_matches(hit.matches, oracle, query, id)
            query = queries.to_dicts()[0]
            for id, matches in zip(there, index.match(queries[0], there), strict=True):
                assert_matches(matches, reference, query, id)
        assert index.check().sound


def assert_matches(matches, oracle, query, id):
    shared = {term: value for term, _, _, value in oracle.contributions(query, id)}
    terms = matches.term_ids.tolist()
    assert dict(zip(terms, matches.contributions.tolist(), strict=True)) == pytest.approx(shared, rel=1e-5)
    assert frozenset(matches.term_ids[matches.in_query].tolist()) == literal("query", query) & shared.keys()
    assert (
        frozenset(matches.term_ids[matches.in_document].tolist()) == literal(id, oracle.documents[id]) & shared.keys()
    )
