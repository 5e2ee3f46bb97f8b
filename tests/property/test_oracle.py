"""Random corpora, searched by the index and by the reference: the same documents, scores and contributions."""

from __future__ import annotations

import numpy as np
import pytest
from figures import CORPORA, holds
from reference import Reference

from pixie_retrievers import Document, SparseVectors, SqliteIndex

V = 40


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
        rows.append({int(term): float(np.float32(weight)) for term, weight in zip(terms, weights, strict=True)})
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
                rows = SparseVectors.from_dicts(random_rows(rng, len(chosen)), V)
                index.upsert([Document(id, "", {"odd": int(id[-1]) % 2}) for id in chosen], rows)
                reference.upsert(chosen, rows.to_dicts())
            for _ in range(int(rng.integers(0, 3))):
                gone = [f"{corpus}-{i}" for i in rng.choice(60, 5, replace=False)]
                assert index.delete(gone) == reference.delete(gone)
            queries = SparseVectors.from_dicts(random_rows(rng, 3), V)
            k = int(rng.integers(1, 40))
            odd = Reference()
            odd.documents = {id: row for id, row in reference.documents.items() if int(id[-1]) % 2}
            for filter, oracle in ((None, reference), ({"odd": 1}, odd)):
                for query, hits in zip(queries.to_dicts(), index.search(queries, k, filter=filter), strict=True):
                    expected = oracle.search(query, k)
                    assert [hit.document.id for hit in hits] == [id for id, _ in expected], (corpus, k, filter)
                    for hit, (id, score) in zip(hits, expected, strict=True):
                        assert hit.score == pytest.approx(score, rel=1e-5)
                        assert hit.matches.contributions.sum() == pytest.approx(hit.score, rel=1e-5)
                        shared = {term: value for term, _, _, value in oracle.contributions(query, id)}
                        found = zip(hit.matches.term_ids.tolist(), hit.matches.contributions.tolist(), strict=True)
                        assert dict(found) == pytest.approx(shared, rel=1e-5)
        assert index.check().sound
