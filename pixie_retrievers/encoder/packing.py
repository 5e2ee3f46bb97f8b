"""Texts laid behind each other, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["TILE", "WIDE_TILE", "Packing"]

TILE, WIDE_TILE = 64, 128
"""Tokens that a kernel attends for together: never of two texts."""


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """Where texts lie, and the tokens of all.

    Attributes:
        ids: int32, shape (n_tokens,).
        positions: int32, shape (n_tokens,): each token's place in its text.
        owners: int32, shape (n_tokens,): each token's text, ascending.
        offsets: int32, shape (n_texts + 1,): where texts begin and end.
        tiles: int32, shape (3, n_tiles): where a tile of at most :data:`TILE` tokens begins, and where its text begins
            and ends.
        wide_tiles: The same for :data:`WIDE_TILE`.
        ends: The offsets on the host.
        longest: Tokens of the longest text, at least.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    owners: torch.Tensor
    offsets: torch.Tensor
    tiles: torch.Tensor
    wide_tiles: torch.Tensor
    ends: list[int]
    longest: int

    @classmethod
    def of(cls, texts: Sequence[NDArray[np.int32]], device: torch.device) -> Packing:
        """Lay texts behind each other.

        Args:
            texts: The tokens of each, int32; none is empty, and there is at least one.
            device: Where the tensors are to be.
        """
        lengths = np.array([len(text) for text in texts], np.int32)
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
        ids = np.concatenate(texts)
        owners = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
        positions = np.arange(len(ids), dtype=np.int32) - offsets[owners]
        parts = [ids, positions, owners, offsets, *(_tiles(positions, owners, offsets, n) for n in (TILE, WIDE_TILE))]
        # One copy, from pinned memory: from any other, the GPU would first have to finish what it is doing.
        host = torch.from_numpy(np.concatenate(parts))
        moved = host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)
        bounds = np.cumsum([0, *map(len, parts)]).tolist()
        on_device = [moved[start:stop] for start, stop in pairwise(bounds)]
        tiles, wide_tiles = (on_device[n].view(3, -1) for n in (4, 5))
        return cls(
            on_device[0],
            on_device[1],
            on_device[2],
            on_device[3],
            tiles,
            wide_tiles,
            offsets.tolist(),
            int(lengths.max()),
        )


def _tiles(
    positions: NDArray[np.int32], owners: NDArray[np.int32], offsets: NDArray[np.int32], size: int
) -> NDArray[np.int32]:
    beginnings = (positions % size == 0).nonzero()[0].astype(np.int32)
    texts = owners[beginnings]
    return np.concatenate([beginnings, offsets[texts], offsets[texts + 1]])
