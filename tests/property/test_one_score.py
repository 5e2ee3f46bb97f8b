"""A score is one number, wherever it is shown and on every Python: float64, by ascending term, one after the other."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import Reference, added_up

from pixie_retrievers import Document, SparseRetriever, SparseVectors, SqliteIndex, TermMatches
from pixie_retrievers.types import Explanation, KnownNames, sum_contributions

V = 40


class Vectors:
    """An encoder whose texts are numbers of rows, all of them known beforehand."""

    vocabulary_size = V
    fingerprint = "rows"

    def __init__(self, rows):
        self.rows = SparseVectors.from_dicts(rows, V)

    def encode_documents(self, texts, *, show_progress=False):
        return SparseVectors.concatenate([self.rows[int(text)] for text in texts], V)

    encode_queries = encode_documents

    def tokens(self, term_ids):
        return [f"##{term}" for term in term_ids]

    def surfaces(self, term_ids):
        return [str(term) for term in term_ids]


# A large weight, then small ones that vanish beside it one by one, though not together; and the other way round.
LOST = {0: 2.0**30} | dict.fromkeys(range(1, 9), 2.0**-24)
BARE = {0: 2.0**30}
KEPT = dict.fromkeys(range(1, 9), 2.0**-24) | {9: 2.0**30}


def shown_everywhere(rows, query):
    """By what shows it: ids and scores, best first."""
    encoder = Vectors([*rows, query])
    with SparseRetriever.open(encoder=encoder) as retriever:
        ids = [f"d{n}" for n in range(len(rows))]
        retriever.add([Document(id, str(n)) for n, id in enumerate(ids)])
        question = str(len(rows))
        hits = retriever.index.search(encoder.encode_queries([question]), len(rows))[0]
        results = retriever.search(question, len(rows), top_k_tokens=None)
        among = retriever.search(question, len(rows), ids=ids)
        return {
            "search": [(hit.document.id, hit.score) for hit in hits],
            "matches": [(hit.document.id, hit.matches.score) for hit in hits],
            "results": [(result.document.id, result.score) for result in results],
            "explanations": [(result.document.id, result.explanation.score) for result in results],
            "explain": [(hit.document.id, retriever.explain(question, hit.document.id).score) for hit in hits],
            "among ids": [(result.document.id, result.score) for result in among],
            "among ids, explained": [(result.document.id, result.explanation.score) for result in among],
            "contributions": [
                (
                    result.document.id,
                    added_up(
                        c.contribution for c in sorted(result.explanation.contributions, key=lambda c: c.token_id)
                    ),
                )
                for result in results
            ],
        }


def test_ties_turn_nowhere():
    query = dict.fromkeys(range(10), 1.0)
    # Compensated, LOST would be before BARE, and KEPT would be its equal.
    assert float(sum(map(Fraction, LOST.values()))) > 2.0**30
    expected = [("d2", 2.0**30 + 2.0**-21), ("d0", 2.0**30), ("d1", 2.0**30)]
    shown = shown_everywhere([BARE, LOST, KEPT], query)
    assert shown == dict.fromkeys(shown, expected)


@pytest.mark.parametrize("seed", range(3))
def test_every_way_to_a_score_gives_what_the_reference_gives(seed):
    rng = np.random.default_rng(seed)

    def row(n_terms):
        terms = rng.choice(V, n_terms, replace=False)
        return {int(t): float(np.float32(w)) for t, w in zip(terms, 2.0 ** rng.uniform(-12, 12, n_terms), strict=True)}

    # Each row beside one whose terms hold the same contributions in another order: scores of almost ties.
    rows = [row(int(n)) for n in rng.integers(1, 25, 20)]
    rows += [dict(zip(row, rng.permutation(list(row.values())).tolist(), strict=True)) for row in rows]
    query = dict.fromkeys(range(V), 1.0)
    reference = Reference()
    reference.upsert([f"d{n}" for n in range(len(rows))], rows)
    shown = shown_everywhere(rows, query)
    assert shown == dict.fromkeys(shown, reference.search(query, len(rows)))


weights = st.floats(2.0**-20, 2.0**20, width=32)


@given(st.lists(st.tuples(weights, weights), max_size=60), st.integers(0, 60))
def test_contributions_and_residual_sum_to_the_score_as_promised(pairs, top_k_tokens):
    matches = TermMatches(
        np.arange(len(pairs), dtype=np.int32),
        np.array([query for query, _ in pairs], np.float32),
        np.array([document for _, document in pairs], np.float32),
        np.zeros(len(pairs), np.bool_),
        np.zeros(len(pairs), np.bool_),
    )
    explanation = Explanation(matches.score, matches, top_k_tokens, KnownNames({}))
    positions = [item.token_id for item in explanation.contributions]
    contributions = [query * document for query, document in pairs]  # exact: of two float32 numbers
    assert explanation.score == matches.score == sum_contributions(contributions) == added_up(contributions)
    shown = [item.contribution for item in explanation.contributions]
    assert explanation.residual == added_up(c for n, c in enumerate(contributions) if n not in positions)
    assert len(shown) < len(pairs) or explanation.residual == 0
    allowed = len(pairs) * 2.0**-52 * explanation.score
    for order in (shown, shown[::-1]):
        assert abs(added_up([*order, explanation.residual]) - explanation.score) <= allowed
        assert abs(added_up([explanation.residual, *order]) - explanation.score) <= allowed


def test_the_order_of_terms_decides_not_the_order_in_which_they_came(tmp_path):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=V, fingerprint="test") as index:
        for id, row in (("lost", LOST), ("kept", KEPT)):
            index.upsert([Document(id, "")], SparseVectors.from_dicts([dict(reversed(row.items()))], V))
        query = SparseVectors.from_dicts([dict.fromkeys(reversed(range(10)), 1.0)], V)
        assert [(hit.document.id, hit.score) for hit in index.search(query, 2)[0]] == [
            ("kept", added_up(KEPT.values())),
            ("lost", added_up(LOST.values())),
        ]
