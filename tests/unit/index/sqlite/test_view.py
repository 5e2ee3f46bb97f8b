"""Segments as searches see them: postings come into memory when they are asked for, and are what was stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vectors import documents, random_vectors

from pixie_retrievers import CorruptIndexError, SqliteIndex
from pixie_retrievers.index.sqlite import scoring, view
from pixie_retrievers.index.sqlite.segment import build_segment
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES, round_vectors
from pixie_retrievers.index.sqlite.view import address, read_view, segment_table

VECTORS = random_vectors(20).with_literal([range(0, 200, 3)] * 20)


def postings_of(its_view, term):
    """A term's ordinals, weights and literal bits, as compiled code would find them."""
    (place,) = np.flatnonzero(its_view.head.term_ids == term)
    start, end = its_view._starts[place], its_view._ends[place]
    bits = np.unpackbits(its_view._literal, bitorder="little")[start:end]
    return its_view._ordinals[start:end].tolist(), its_view.weights[start:end].tolist(), bits.astype(bool).tolist()


def expected(term):
    rows = [row for row in range(20) if term in VECTORS[row].term_ids]
    entries = [(row, int(np.flatnonzero(VECTORS[row].term_ids == term)[0])) for row in rows]
    weights = [float(VECTORS[row].weights[entry]) for row, entry in entries]
    return rows, weights, [bool(VECTORS[row].literal[entry]) for row, entry in entries]


def test_terms_are_kept_in_the_order_in_which_they_were_asked_for(reader, monkeypatch):
    with reader.snapshot() as snapshot:
        (its_view,) = snapshot.views
        terms = its_view.head.term_ids
        asked = [int(terms[place]) for place in (9, 2, 30)]
        for term in asked:
            its_view.load(snapshot.store, np.array([term], np.int32))
        monkeypatch.setattr(view, "decode_block", None)  # what is in memory is not read again
        its_view.load(snapshot.store, np.array(sorted([*asked, 199 if 199 not in terms else 198]), np.int32))
        assert [postings_of(its_view, term) for term in asked] == [expected(term) for term in asked]
        assert np.count_nonzero(its_view._ends) == 3
        assert its_view.n_postings_of(np.array(sorted(asked), np.int32)) == sum(len(expected(t)[0]) for t in asked)


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_a_whole_segment_is_what_was_built(tmp_path, weights):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200, weights=weights) as index:
        index.upsert(documents(20), VECTORS)
        built = build_segment(round_vectors(VECTORS, weights), np.arange(20), 200)
        with index._reader.snapshot() as snapshot:
            found = snapshot.views[0].whole(snapshot.store)
    for name in ("ordinals", "weights", "literal"):
        assert getattr(found, name).dtype == getattr(built, name).dtype
        np.testing.assert_array_equal(getattr(found, name), getattr(built, name))


def test_a_block_that_is_gone_or_a_head_that_the_manifest_contradicts_is_refused(reader, sql):
    with reader.snapshot() as snapshot:
        manifest, entry = snapshot.manifest, snapshot.manifest.segments[0]
        with pytest.raises(CorruptIndexError, match="head"):
            read_view(snapshot.store, manifest, replace(entry, n_documents=19))
    sql("DELETE FROM postings")
    with pytest.raises(CorruptIndexError, match=r"block .* is missing"), reader.snapshot() as snapshot:
        snapshot.views[0].load(snapshot.store, snapshot.views[0].head.term_ids[:1])


def test_compiled_code_sees_a_row_of_sizes_and_addresses_a_segment(reader):
    with reader.snapshot() as snapshot:
        table = segment_table(snapshot.views)
        head = snapshot.views[0].head
        assert table.shape == (1, scoring.N_COLUMNS)
        assert table[0, :3].tolist() == [20, len(head.term_ids), head.n_postings]
        assert table[0, scoring.DOCNOS] == head.docnos.ctypes.data
        assert table[0, scoring.SCALES] == 0  # there are none
    assert segment_table([]).shape == (0, scoring.N_COLUMNS)
    assert address(np.zeros(0)) == 0
