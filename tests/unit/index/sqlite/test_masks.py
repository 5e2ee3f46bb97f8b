"""Which documents count: what is worked out, what is kept, and until when."""

from __future__ import annotations

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest

from pixie_retrievers import Document, SparseVectors, SqliteIndex
from pixie_retrievers.filters import parse_filter
from pixie_retrievers.index.sqlite import masks

LONG = "글" * 200


@pytest.fixture
def index(tmp_path):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=2) as index:
        yield index


def add(index, *contents):
    start = len(index) and int(index.ids()[-1]) + 1
    documents = [Document(str(start + i), "", content) for i, content in enumerate(contents)]
    index.upsert(documents, SparseVectors.from_dicts([{0: 1.0}] * len(documents), 2))


@contextmanager
def counted(name):
    with mock.patch.object(masks, name, wraps=getattr(masks, name)) as spy:
        yield spy


def mask_of(index, filter):
    with index._reader.snapshot() as snapshot:
        allowed = snapshot.allowed(None if filter is None else parse_filter(filter))
        return [
            mask.tolist() if len(mask) else [1] * view.head.n_documents
            for mask, view in zip(allowed.masks, snapshot.views, strict=True)
        ]


def test_a_mask_is_the_live_documents_that_pass(index):
    add(index, *({"n": n} for n in range(5)))
    add(index, {"n": 1}, {})
    index.delete(["1"])
    assert mask_of(index, None) == [[1, 0, 1, 1, 1], [1, 1]]
    assert mask_of(index, {"n": {"$lt": 3}}) == [[1, 0, 1, 0, 0], [1, 0]]
    assert mask_of(index, {}) == [[1, 0, 1, 1, 1], [1, 1]]


def test_the_same_condition_is_one_look_into_a_table(index):
    add(index, *({"n": n} for n in range(5)))
    first = mask_of(index, {"n": {"$in": [1, 2]}})
    with counted("evaluate") as evaluate:
        assert mask_of(index, {"n": {"$in": [2, 1]}}) == first
        assert mask_of(index, {"$and": [{"n": {"$in": (1, 2)}}]}) == first
    assert evaluate.call_count == 0


def test_after_a_commit_only_new_segments_are_looked_at(index):
    add(index, *({"n": n} for n in range(50)))
    mask_of(index, {"n": 3})
    add(index, {"n": 3})
    with counted("evaluate") as evaluate:
        assert mask_of(index, {"n": 3})[1] == [1]
    assert evaluate.call_count == 1


def test_after_a_delete_nothing_is_looked_at_again(index):
    add(index, *({"n": n, "text": LONG} for n in range(50)))
    for filter in ({"n": {"$lt": 3}}, {"text": {"$contains": "글"}}):
        mask_of(index, filter)
    index.delete(["1"])
    with counted("evaluate") as evaluate:
        assert mask_of(index, {"n": {"$lt": 3}})[0][:4] == [1, 0, 1, 0]
        assert mask_of(index, {"text": {"$contains": "글"}})[0][:4] == [1, 0, 1, 1]
    assert evaluate.call_count == 0


def test_a_snapshot_from_before_a_delete_still_finds_what_was_read_after_it(index):
    add(index, *({"text": LONG} for _ in range(10)))
    filter = {"text": {"$contains": "글"}}
    with index._reader.snapshot() as before:
        index.delete(["1"])
        assert mask_of(index, filter)[0][:3] == [1, 0, 1]
        assert before.allowed(parse_filter(filter)).masks[0].tolist() == [1] * 10
    assert mask_of(index, filter)[0][:3] == [1, 0, 1]


def test_documents_are_read_only_where_columns_cannot_tell(index):
    add(index, *({"n": n, "text": LONG if n in (3, 7) else "짧은 글"} for n in range(10)))
    condition = parse_filter({"text": {"$contains": "짧은"}, "n": {"$lt": 5}})
    with index._reader.snapshot() as snapshot:
        read = mock.Mock(wraps=snapshot._masks._documents)
        snapshot._masks._documents = read
        assert snapshot.allowed(condition).masks[0].tolist() == [1, 1, 1, 0, 1, 0, 0, 0, 0, 0]
        assert [list(call.args[0]) for call in read.call_args_list] == [[3]]


def test_a_callable_is_asked_at_every_search(index):
    add(index, {"n": 1}, {"n": 2})
    limit = [1]

    def above(metadata):
        return metadata["n"] > limit[0]

    assert mask_of(index, above) == [[0, 1]]
    limit[0] = 0
    assert mask_of(index, above) == [[1, 1]]


def test_a_field_that_no_document_has_is_missing_without_reading_one(index):
    add(index, {"n": 1})
    with index._reader.snapshot() as snapshot:
        read = mock.Mock(wraps=snapshot._masks._documents)
        snapshot._masks._documents = read
        assert snapshot.allowed(parse_filter({"nowhere": {"$exists": False}})).masks[0].tolist() == [1]
        assert read.call_count == 0
        snapshot.allowed(parse_filter({"_own.x": 1}))  # columns know nothing of what is inside an adapter's own dict
        assert read.call_count == 1


def test_masks_of_segments_that_are_gone_are_forgotten(index):
    add(index, {"n": 1}, {"n": 2})
    mask_of(index, {"n": 1})
    add(index, {"n": 1})
    index.compact()
    mask_of(index, {"n": 1})
    with index._reader.snapshot() as snapshot:
        stamps = {entry.stamp for entry in snapshot.manifest.segments}
    assert {stamp for stamp, _ in index._reader._cache._passing} == stamps
    assert index._reader._cache._directories.keys() == stamps


def test_masks_take_no_more_memory_than_they_may(index, monkeypatch):
    monkeypatch.setattr(masks, "_MAX_BYTES", 1000)
    index._reader._cache = masks.MaskCache()
    add(index, *({"n": n} for n in range(30)))
    for n in range(10):
        assert mask_of(index, {"n": n}) == [[int(i == n) for i in range(30)]]
        assert index._reader._cache._passing._n_bytes <= 1000
        assert index._reader._cache._allowed._n_bytes <= 1000
    with counted("evaluate") as evaluate:
        mask_of(index, {"n": 9})
        assert evaluate.call_count == 0
        mask_of(index, {"n": 0})
        assert evaluate.call_count == 1
    add(index, *({"n": n} for n in range(200)))  # more than fits
    assert mask_of(index, {"n": 0})[-1] == [1] + [0] * 199


def test_addresses_are_those_of_the_masks(index):
    add(index, {"n": 1}, {"n": 2})
    with index._reader.snapshot() as snapshot:
        allowed = snapshot.allowed(parse_filter({"n": 1}))
        assert allowed.addresses.tolist() == [allowed.masks[0].ctypes.data]
        assert allowed.masks[0].dtype == np.uint8
        assert snapshot.allowed(None).addresses.tolist() == [0]
