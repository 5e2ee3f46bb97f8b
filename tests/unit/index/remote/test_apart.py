"""A batch of which some is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import documents, random_vectors

from pixie_retrievers.index.remote.apart import RefusedError, store_apart
from pixie_retrievers.index.remote.engine import TransientFailureError, Written
from pixie_retrievers.index.remote.records import records_of


@given(st.integers(1, 20), st.sets(st.integers(0, 19)))
def test_all_is_stored_but_what_is_refused(n, bad):
    records = list(records_of(documents(n), random_vectors(n), 1))
    refused = {records[i].key for i in bad if i < n}
    stored = []

    def send(some):
        if any(record.key in refused for record in some):
            raise RefusedError("no")
        stored.extend(some)

    assert store_apart(records, send) == Written(dict.fromkeys(refused, "no"), {})
    assert stored == [record for record in records if record.key not in refused]


def test_what_may_pass_is_not_taken_apart():
    def send(some):
        raise TransientFailureError(len(some))

    with pytest.raises(TransientFailureError, match="4"):
        store_apart(list(records_of(documents(4), random_vectors(4), 1)), send)
