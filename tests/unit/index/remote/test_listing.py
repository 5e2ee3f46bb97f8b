"""Documents in the order of insertion, from an engine that cannot sort."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers.index.remote import listing
from pixie_retrievers.index.remote.records import Stored


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9)), st.sets(st.text("abc", min_size=1)))
def test_every_document_comes_once_in_order_unless_it_is_gone(seqs, gone):
    def read_all():
        return ((seq, key) for key, seq in seqs.items())

    def fetch(keys):
        assert 1 <= len(keys) <= 3
        return [None if key in gone else Stored(key, "", "{}", b"", seqs[key]) for key in keys]

    rows, rest = [], None
    with mock.patch.object(listing, "_PAGE", 3):
        while True:
            page = listing.next_page(rest, read_all, fetch)
            assert listing.next_page(rest, read_all, fetch) == page  # asked again, it says the same
            rows += page.rows
            rest = page.rest
            if rest is None:
                break
    expected = [key for key in sorted(seqs, key=lambda key: (seqs[key], key)) if key not in gone]
    assert [row.id for row in rows] == expected
