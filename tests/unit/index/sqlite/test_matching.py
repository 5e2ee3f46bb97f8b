"""The terms that a query shares with documents that are named."""

from __future__ import annotations

from pixie_retrievers import SparseVectors
from pixie_retrievers.index.sqlite.matching import match_documents


def test_a_query_and_a_document_match_in_the_terms_of_both(reader):
    query = SparseVectors.from_dicts([dict.fromkeys(range(0, 200, 2), 0.5)], 200).with_literal([{0, 2}])
    with reader.snapshot() as snapshot:
        stored = snapshot.vectors([4, 2, 4])
        matches = match_documents(snapshot, query, [4, 2, 4])
        assert matches[0] == matches[2] != matches[1]
        its_terms = stored.term_ids[: stored.indptr[1]]
        assert matches[0].term_ids.tolist() == its_terms[its_terms % 2 == 0].tolist()
        assert (matches[0].query_weights == 0.5).all()
        assert (matches[0].in_query == (matches[0].term_ids <= 2)).all()
        assert (matches[0].in_document == (matches[0].term_ids % 3 == 0)).all()
        assert match_documents(snapshot, query, []) == []
