"""Batches bounded by tokens, not by texts: pure planning, knows no model."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["plan_batches"]


def plan_batches(lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Group texts of similar length, so that no batch holds more tokens than allowed, padding included.

    Args:
        lengths: The number of tokens of each text; 0 leaves a text out.
        max_batch_tokens: Number of texts times longest text of a batch is at most this; a text that is longer alone
            goes alone.

    Returns:
        Positions in ``lengths``, longest texts first: what needs the most memory fails first, not after an hour.

    Complexity:
        O(n log n).
    """
    # Positions break ties, so that equal input gives equal batches.
    order = sorted((n for n, length in enumerate(lengths) if length > 0), key=lambda n: (-lengths[n], n))
    batches: list[list[int]] = []
    room = 0
    for position in order:
        if room < 1:
            batches.append([])
            room = max(1, max_batch_tokens // lengths[position])
        batches[-1].append(position)
        room -= 1
    return batches
