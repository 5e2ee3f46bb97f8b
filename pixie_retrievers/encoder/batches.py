"""Batches bounded by tokens, not by texts: pure planning, knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixie_retrievers.encoder.vocabulary import Reading

__all__ = ["MOST_TEXTS", "by_tokens", "packed_budget", "plan_batches", "token_budget"]

_MOST_TOKENS = {"cpu": 8192, "mps": 8192, "cuda": 65536}  # more makes nothing faster
_FEWEST_TOKENS = 512
_HOST_FLOP, _FEWEST_PACKED_TOKENS = 10e9, 128  # a tenth of a second on two cores, or less
MOST_TEXTS = 128  # the vectors of a batch are dense for a moment: 26 MB at 50,000 terms
_SHARE = 0.25  # of the free memory: others live there too


def token_budget(device: str, free_bytes: int | None, bytes_per_token: int) -> int:
    """How many tokens the model may see at once on a device.

    Args:
        device: "cpu", "mps", "cuda", "cuda:1".
        free_bytes: The device's free memory; None where nobody knows it.
        bytes_per_token: What one token takes inside the model.

    Returns:
        What fits into a quarter of the free memory, between 512 and what is still worth it (8,192; on CUDA 65,536).
    """
    most = _MOST_TOKENS[device.partition(":")[0]]
    if free_bytes is None:
        return min(most, 8192)
    return max(_FEWEST_TOKENS, min(most, int(free_bytes * _SHARE) // bytes_per_token))


def packed_budget(max_batch_tokens: int, n_parameters: int) -> int:
    """How many tokens of texts that lie behind each other a processor is given at once.

    More make nothing faster there: what a few layers leave behind is in no cache any more, and who has a question waits
    longer for the end of a batch.

    Args:
        max_batch_tokens: More are never allowed.
        n_parameters: How many numbers the model has, each of which is used twice a token.
    """
    return min(max_batch_tokens, max(_FEWEST_PACKED_TOKENS, int(_HOST_FLOP / (2 * n_parameters))))


def by_tokens(readings: Iterator[list[Reading]], most_tokens: int, most_texts: int) -> Iterator[list[Reading]]:
    """Whatever pieces readings come in, groups of at most so many; a reading that is larger alone goes alone.

    Args:
        readings: In any pieces.
        most_tokens: At most so many tokens a group.
        most_texts: At most so many texts a group.
    """
    group: list[Reading] = []
    n_tokens = 0
    for piece in readings:
        for reading in piece:
            if group and (n_tokens + reading.n_tokens > most_tokens or len(group) == most_texts):
                yield group
                group, n_tokens = [], 0
            group.append(reading)
            n_tokens += reading.n_tokens
    if group:
        yield group


def plan_batches(lengths: Sequence[int], max_batch_tokens: int, *, max_texts: int = MOST_TEXTS) -> list[list[int]]:
    """Group texts of similar length, so that no batch holds more tokens than allowed, padding included.

    Args:
        lengths: The number of tokens of each text; 0 leaves a text out.
        max_batch_tokens: Number of texts times longest text of a batch is at most this; a text that is longer alone
            goes alone.
        max_texts: At most so many texts a batch.

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
            room = max(1, min(max_texts, max_batch_tokens // lengths[position]))
        batches[-1].append(position)
        room -= 1
    return batches
