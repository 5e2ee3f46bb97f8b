"""Texts behind each other: where each lies, and that none sees another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixie_retrievers.encoder.attention import Rotation, TextByText
from pixie_retrievers.encoder.packing import TILE, WIDE_TILE, Packing

CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=12)


def packed(lengths):
    return Packing.of([np.arange(1, length + 1, dtype=np.int32) for length in lengths], CPU)


@given(LENGTHS)
def test_every_token_knows_its_text_and_its_place_there(lengths):
    packing = packed(lengths)
    places = [(owner, position) for owner, length in enumerate(lengths) for position in range(length)]
    assert list(zip(packing.owners.tolist(), packing.positions.tolist(), strict=True)) == places
    assert packing.ids.tolist() == [position + 1 for _, position in places]
    assert packing.offsets.tolist() == packing.ends == [0, *np.cumsum(lengths)]
    assert packing.longest == max(lengths)


@given(LENGTHS)
def test_tiles_hold_each_token_once_and_never_two_texts(lengths):
    packing = packed(lengths)
    for size, tiles in ((TILE, packing.tiles), (WIDE_TILE, packing.wide_tiles)):
        held = []
        for first, start, end in tiles.T.tolist():
            tokens = range(first, min(first + size, end))
            assert packing.ends.index(start) + 1 == packing.ends.index(end)
            assert start <= first < end
            held += tokens
        assert held == list(range(packing.ends[-1]))


def reference(projected, rotation, reach):
    """Attention as its definition has it, for one text: each query turned, every score, a mask."""
    length, _, heads, size = projected.shape
    seen = torch.empty(length, heads, size)
    half = size // 2
    for head in range(heads):
        turned = []
        for part in (0, 1):
            low, high = projected[:, part, head, :half], projected[:, part, head, half:]
            cos, sin = rotation.cos[:length, :half], rotation.signed_sin[:length, half:]
            turned.append(torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1))
        scores = turned[0] @ turned[1].T / size**0.5
        distance = (torch.arange(length)[:, None] - torch.arange(length)[None]).abs()
        if reach is not None:
            scores = scores.masked_fill(distance > reach, -torch.inf)
        seen[:, head] = scores.softmax(dim=-1) @ projected[:, 2, head]
    return seen


def rotations(length, size):
    angles = torch.arange(length)[:, None] / 7 ** (torch.arange(size // 2) / 4)[None]
    return Rotation(torch.cat((angles.cos(), angles.cos()), -1), torch.cat((-angles.sin(), angles.sin()), -1))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=4), st.sampled_from([None, 1, 20, 64]), st.integers(0, 9))
def test_each_text_attends_as_if_it_were_alone(lengths, reach, seed):
    torch.manual_seed(seed)
    packing = packed(lengths)
    projected = torch.randn(packing.ends[-1], 3, 2, 8)
    table = rotations(max(lengths), 8)
    attention = TextByText()
    found = attention(projected.clone(), attention.rotation(table, packing), packing, reach)
    for start, stop in zip(packing.ends, packing.ends[1:], strict=False):
        assert torch.allclose(found[start:stop], reference(projected[start:stop], table, reach), atol=1e-5)


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [TILE], [TILE + 1, WIDE_TILE, 2 * WIDE_TILE + 1]])
def test_at_the_edges_of_tiles(lengths):
    assert packed(lengths).tiles.shape[1] == sum(-(-length // TILE) for length in lengths)
    assert packed(lengths).wide_tiles.shape[1] == sum(-(-length // WIDE_TILE) for length in lengths)
