"""Kernels for a GPU, in Triton, which comes with torch on CUDA.

A sparse model's head has as many outputs as terms, and only each text's largest are wanted: a tile of them lives in
registers, and only its maxima leave. Attention turns queries and keys where it loads them, and a tile of it is of one
text, so that nothing is copied, padded or masked before. Numbers are those of bfloat16 or float16, sums in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

__all__ = ["attend", "gated", "normalised", "text_maxima"]

_TERMS, _TOKENS, _DEPTH, _GROUP = 256, 128, 64, 32
_LOG2_E = 1.4426950408889634


def text_maxima(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, owners: torch.Tensor, n_texts: int
) -> torch.Tensor:
    """The largest logit of every text for every term, or zero: float32, (n_texts, n_terms).

    A tile may hold the tokens of several texts; the maximum of each is merged with those of its other tiles by an
    atomic maximum. Numbers that are not negative are ordered like their bits, so these are compared, as integers.

    Args:
        hidden: States in front of the last layer, (n_tokens, width).
        weight: The last layer's, (n_terms, width), of the same type.
        bias: (n_terms,), or none.
        owners: int32, (n_tokens,): each token's text, ascending.
        n_texts: How many texts there are.
    """
    (n_tokens, width), n_terms = hidden.shape, weight.shape[0]
    found = torch.zeros(n_texts, n_terms, dtype=torch.int32, device=hidden.device)
    grid = (triton.cdiv(n_tokens, _TOKENS) * triton.cdiv(n_terms, _TERMS),)
    _maxima[grid](
        hidden.contiguous(), weight, weight if bias is None else bias, owners, found, n_tokens, n_terms, width,
        HAS_BIAS=bias is not None, TOKENS=_TOKENS, TERMS=_TERMS, DEPTH=_DEPTH, GROUP=_GROUP,
        num_warps=8, num_stages=3,
    )  # fmt: skip
    return found.view(torch.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _maxima(  # type: ignore[no-untyped-def]  # noqa: ANN202
    hidden, weight, bias, owners, found, n_tokens, n_terms, width,  # noqa: ANN001
    HAS_BIAS: tl.constexpr, TOKENS: tl.constexpr, TERMS: tl.constexpr, DEPTH: tl.constexpr, GROUP: tl.constexpr,  # noqa: N803
):  # fmt: skip
    # Programs that run at the same time take few rows of either matrix, so that both stay in the cache.
    program = tl.program_id(0)
    token_tiles, term_tiles = tl.cdiv(n_tokens, TOKENS), tl.cdiv(n_terms, TERMS)
    in_group = GROUP * term_tiles
    first_tile = program // in_group * GROUP
    height = tl.minimum(token_tiles - first_tile, GROUP)
    token_tile = first_tile + program % in_group % height
    term_tile = program % in_group // height

    tokens = token_tile * TOKENS + tl.arange(0, TOKENS)
    terms = term_tile * TERMS + tl.arange(0, TERMS)
    # What is beyond the end is what stands at the beginning again, and belongs to nobody below.
    hidden_rows = hidden + (tokens % n_tokens).to(tl.int64)[None, :] * width
    weight_rows = weight + (terms % n_terms).to(tl.int64)[:, None] * width
    # Terms by tokens, not the other way round: then a maximum over tokens stays inside a warp.
    logits = tl.zeros((TERMS, TOKENS), dtype=tl.float32)
    for start in range(0, width, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        inside = depth < width
        a = tl.load(weight_rows + depth[None, :], mask=inside[None, :], other=0.0)
        b = tl.load(hidden_rows + depth[:, None], mask=inside[:, None], other=0.0)
        logits = tl.dot(a, b, logits)
    if HAS_BIAS:
        logits += tl.load(bias + terms, mask=terms < n_terms, other=0.0).to(tl.float32)[:, None]

    owner = tl.load(owners + tokens, mask=tokens < n_tokens, other=-1)
    first_text = tl.load(owners + token_tile * TOKENS)
    last_text = tl.load(owners + tl.minimum(token_tile * TOKENS + TOKENS, n_tokens) - 1)
    places = found + first_text.to(tl.int64) * n_terms + terms
    for text in range(first_text, last_text + 1):
        maxima = tl.max(tl.where((owner == text)[None, :], logits, 0.0), axis=1)
        tl.atomic_max(places, maxima.to(tl.int32, bitcast=True), mask=terms < n_terms, sem="relaxed")
        places += n_terms


def attend(
    projected: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    tiles: torch.Tensor,
    rows: int,
    reach: int | None,
) -> torch.Tensor:
    """What each token takes in of its text, (n_tokens, heads, head size); tokens of no tile get anything.

    Source: the softmax is built up over blocks of keys as in flash attention (Dao et al. 2022, arXiv 2205.14135).

    Args:
        projected: Queries, keys and values, (n_tokens, 3, heads, head size), without gaps.
        cos, signed_sin: float32, (positions, head size), as in
            :class:`~pixie_retrievers.encoder.attention.Rotation`.
        tiles: As in :class:`~pixie_retrievers.encoder.packing.Packing`.
        rows: How many tokens a tile has at most: 64 or 128.
        reach: How far a token sees to each side; None is its whole text.
    """
    n_tokens, _, n_heads, size = projected.shape
    seen = torch.empty(n_tokens, n_heads, size, dtype=projected.dtype, device=projected.device)
    _attend[tiles.shape[1], n_heads](
        projected, cos, signed_sin, tiles, seen, tiles.shape[1], n_heads, _LOG2_E / size**0.5,
        REACH=-1 if reach is None else reach, HALF=size // 2, ROWS=rows, KEYS=32 if rows == 64 else 64,
        num_warps=rows // 16, num_stages=3,
    )  # fmt: skip
    return seen


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]  # noqa: ANN202
    projected, cos, signed_sin, tiles, seen, n_tiles, n_heads, scale,  # noqa: ANN001
    REACH: tl.constexpr, HALF: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,  # noqa: N803
):  # fmt: skip
    tile, head = tl.program_id(0), tl.program_id(1)
    first = tl.load(tiles + tile)
    text_start = tl.load(tiles + n_tiles + tile)
    text_end = tl.load(tiles + 2 * n_tiles + tile)
    size = 2 * HALF
    width = n_heads * size
    half, whole = tl.arange(0, HALF), tl.arange(0, 2 * HALF)

    rows = first + tl.arange(0, ROWS)
    is_row = (rows < text_end)[:, None]
    row_at = projected + rows.to(tl.int64)[:, None] * (3 * width) + head * size + half[None, :]
    row_angle = (rows - text_start)[:, None] * size + half[None, :]
    row_cos = tl.load(cos + row_angle, mask=is_row, other=0.0) * scale
    row_sin = tl.load(signed_sin + HALF + row_angle, mask=is_row, other=0.0) * scale
    row_low = tl.load(row_at, mask=is_row, other=0.0)
    row_high = tl.load(row_at + HALF, mask=is_row, other=0.0)
    query_low = (row_low * row_cos - row_high * row_sin).to(row_low.dtype)
    query_high = (row_high * row_cos + row_low * row_sin).to(row_low.dtype)

    begin, end = text_start, text_end
    if REACH >= 0:
        begin = tl.maximum(begin, first - REACH)
        end = tl.minimum(end, first + ROWS + REACH)
    # Not infinity: rows that see nothing of a block would become NaN. What they gather is scaled to nothing later.
    highest = tl.full((ROWS,), -1e30, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    gathered = tl.zeros((ROWS, 2 * HALF), tl.float32)
    for start in range(begin, end, KEYS):
        keys = start + tl.arange(0, KEYS)
        is_key = (keys < end)[:, None]
        at = projected + keys.to(tl.int64)[:, None] * (3 * width) + width + head * size
        angle = (keys - text_start)[:, None] * size + half[None, :]
        c = tl.load(cos + angle, mask=is_key, other=0.0)
        s = tl.load(signed_sin + HALF + angle, mask=is_key, other=0.0)
        low = tl.load(at + half[None, :], mask=is_key, other=0.0)
        high = tl.load(at + HALF + half[None, :], mask=is_key, other=0.0)
        key_low = (low * c - high * s).to(low.dtype)
        key_high = (high * c + low * s).to(low.dtype)
        scores = tl.dot(query_low, tl.trans(key_low))
        scores = tl.dot(query_high, tl.trans(key_high), scores)
        sees = (keys < end)[None, :]
        if REACH >= 0:
            sees = sees & (tl.abs(rows[:, None] - keys[None, :]) <= REACH)
        scores = tl.where(sees, scores, -1e30)
        higher = tl.maximum(highest, tl.max(scores, axis=1))
        share = tl.exp2(scores - higher[:, None])
        fade = tl.exp2(highest - higher)
        total = total * fade + tl.sum(share, axis=1)
        values = tl.load(at + width + whole[None, :], mask=is_key, other=0.0)
        gathered = tl.dot(share.to(values.dtype), values, gathered * fade[:, None])
        highest = higher
    found_at = seen + rows.to(tl.int64)[:, None] * width + head * size + whole[None, :]
    tl.store(found_at, (gathered / total[:, None]).to(row_low.dtype), mask=is_row)


def gated(values: torch.Tensor, _: Any) -> torch.Tensor:
    """GELU of the first half of each row, times the second: (n_tokens, n) to (n_tokens, n / 2).

    Args:
        values: Without gaps.
    """
    n_tokens, width = values.shape
    found = torch.empty(n_tokens, width // 2, dtype=values.dtype, device=values.device)
    block = 1024
    _gated[triton.cdiv(found.numel(), block),](values, found, found.numel(), width // 2, BLOCK=block, num_warps=4)
    return found


@triton.jit  # type: ignore[untyped-decorator]
def _gated(values, found, n, half, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, N803
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < n
    first = values + place // half * half + place
    a = tl.load(first, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(first + half, mask=inside, other=0.0)
    # Exact GELU, rounded as torch rounds it before the product.
    activated = (0.5 * a * (1.0 + tl.erf(a * 0.7071067811865476))).to(b.dtype)
    tl.store(found + place, activated * b, mask=inside)


def normalised(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float) -> torch.Tensor:
    """Layer normalisation of each row, (n_tokens, width).

    Args:
        values: Without gaps.
        weight: (width,).
        bias: (width,), or none.
        eps: Added to the variance.
    """
    n_tokens, width = values.shape
    found = torch.empty_like(values)
    _normalised[n_tokens,](
        values, weight, weight if bias is None else bias, found, width, eps,
        HAS_BIAS=bias is not None, BLOCK=triton.next_power_of_2(width), num_warps=4,
    )  # fmt: skip
    return found


@triton.jit  # type: ignore[untyped-decorator]
def _normalised(  # type: ignore[no-untyped-def]  # noqa: ANN202
    values, weight, bias, found, width, eps, HAS_BIAS: tl.constexpr, BLOCK: tl.constexpr,  # noqa: ANN001, N803
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * width
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    given = tl.load(values + row + columns, mask=inside, other=0.0)
    numbers = given.to(tl.float32)
    centred = tl.where(inside, numbers - tl.sum(numbers, axis=0) / width, 0.0)
    scaled = centred / tl.sqrt(tl.sum(centred * centred, axis=0) / width + eps)
    scaled *= tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        scaled += tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(found + row + columns, scaled.to(given.dtype), mask=inside)
