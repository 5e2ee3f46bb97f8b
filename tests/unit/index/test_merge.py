"""The merge policy: few segments, few rewrites, neighbours only."""

from __future__ import annotations

import math

import pytest

from pixie_retrievers.index.sqlite.merge import FAN_OUT, pack, tail_to_merge
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS


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
