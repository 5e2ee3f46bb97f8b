"""Merging: few segments, few rewrites, neighbours only; and nothing changes but who is there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from vectors import random_vectors

from pixie_retrievers import SparseVectors
from pixie_retrievers.index.sqlite.merge import FAN_OUT, merge_segments, pack, tail_to_merge
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS, build_segment
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES, round_vectors


def grow(n: int, batch: int) -> tuple[list[int], int, int]:
    """Segment sizes after ``n`` documents in batches, how many documents were rewritten, the most segments ever."""
    sizes: list[int] = []
    rewritten = most = 0
    for _ in range(0, n, batch):
        sizes.append(batch)
        start = tail_to_merge(sizes)
        runs = [sizes[start:][run.start : run.stop] for run in pack(sizes[start:])]
        rewritten += sum(sum(run) for run in runs if len(run) > 1)
        sizes = sizes[:start] + [sum(run) for run in runs]
        most = max(most, len(sizes))
    return sizes, rewritten, most


@pytest.mark.parametrize(("n", "batch"), [(20_000, 1), (200_000, 100), (400_000, 1000), (300_000, 5000)])
def test_segments_stay_few_and_rewrites_logarithmic(n, batch):
    sizes, rewritten, most = grow(n, batch)
    assert sum(sizes) == n
    assert max(sizes) <= MAX_DOCUMENTS
    tiers = math.ceil(math.log(MAX_DOCUMENTS / batch, FAN_OUT))
    assert most <= (FAN_OUT - 1) * tiers + 1 + 2 * n / MAX_DOCUMENTS
    assert rewritten <= (tiers + 1) * n


def test_a_full_segment_is_left_alone():
    assert tail_to_merge([MAX_DOCUMENTS] * 20) == 20
    assert tail_to_merge([MAX_DOCUMENTS, *[1] * FAN_OUT]) == 1


def test_runs_are_as_long_as_they_can_be():
    assert pack([]) == []
    assert pack([MAX_DOCUMENTS, 1, 1]) == [range(1), range(1, 3)]
    assert pack([30_000, 30_000, 10_000, 60_000]) == [range(2), range(2, 3), range(3, 4)]


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_a_merge_is_what_building_from_the_live_documents_would_be(weights):
    vectors = replace(random_vectors(60).with_literal([range(0, 200, 3)] * 60), cut=np.arange(60) % 5 < 2)
    dead = np.zeros(60, np.uint8)
    dead[[0, 7, 8, 25, 59]] = 1
    stored = round_vectors(vectors, weights)
    parts = [slice(0, 10), slice(10, 35), slice(35, 60)]
    docnos = np.arange(60) * 2
    merged = merge_segments(
        [build_segment(stored[part], docnos[part], 200) for part in parts],
        [dead[part] for part in parts],
        200,
    )
    alive = np.flatnonzero(dead == 0)
    live = SparseVectors.concatenate([vectors[int(row)] for row in alive], 200)
    expected = build_segment(round_vectors(live, weights), docnos[alive], 200)
    for name in ("ordinals", "weights", "literal"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(expected, name))
    for name in ("docnos", "term_ids", "starts", "max_weights", "scales", "blocks", "cut"):
        np.testing.assert_array_equal(getattr(merged.head, name), getattr(expected.head, name))


def test_nothing_alive_merges_into_nothing():
    segment = build_segment(round_vectors(random_vectors(3), "float32"), np.arange(3), 200)
    assert merge_segments([segment], [np.ones(3, np.uint8)], 200) is None
    assert merge_segments([segment], [None], 200).head.n_documents == 3
