"""Attention over texts that lie behind each other: each token sees its own text, in local layers a window of it.

Two of three layers of ModernBERT see only the 64 tokens on each side (Warner et al. 2024, section 2.1.2). A GPU takes
all texts at once, told where each ends: by a kernel of this package, which turns queries and keys on its way (see
:mod:`~pixie_retrievers.encoder.gpu_kernels`), or where Triton cannot compile, by torch's flash attention (Dao 2023,
arXiv 2307.08691). Elsewhere texts come one after the other, and in local layers a strip of tokens meets only the keys
that it may see: a mask of (length x length) would have 67 million entries at 8,192 tokens.

Source of the rotation: Su et al. 2021, RoFormer (arXiv 2104.09864), section 3.2.2, in halves as transformers has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention

from pixie_retrievers.encoder.packing import Packing

__all__ = ["Attention", "FlashAttention", "FusedAttention", "Rotation", "TextByText", "flash_runs_on"]

_STRIP = 256


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """By which angles queries and keys are turned.

    Attributes:
        cos: float32, shape (n, head size): the cosines, of positions or of tokens.
        signed_sin: The sines, those of the first half negative.
    """

    cos: torch.Tensor
    signed_sin: torch.Tensor

    def of_tokens(self, packing: Packing) -> Rotation:
        """From those of positions to those of tokens."""
        return Rotation(self.cos[packing.positions], self.signed_sin[packing.positions])


class Attention(Protocol):
    """A way to attend that fits a device and a type."""

    def rotation(self, table: Rotation, packing: Packing) -> Rotation:
        """What :meth:`__call__` takes in every layer of a pass, from the rotations of all positions."""
        ...

    def __call__(
        self, projected: torch.Tensor, rotation: Rotation, packing: Packing, reach: int | None
    ) -> torch.Tensor:
        """What each token takes in, (n_tokens, heads, head size).

        Args:
            projected: Queries, keys and values, (n_tokens, 3, heads, head size); they may be overwritten.
            rotation: By which angles they are turned.
            packing: How the texts lie.
            reach: How far a token sees to each side; None is its whole text.
        """
        ...


def flash_runs_on(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch's flash attention takes numbers of this type on a device."""
    return (
        device.type == "cuda"
        and dtype in (torch.bfloat16, torch.float16)
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


class FusedAttention:
    """This package's kernel, for all texts at once: CUDA, bfloat16 or float16."""

    def rotation(self, table: Rotation, packing: Packing) -> Rotation:  # noqa: ARG002
        """See :class:`Attention`."""
        return table

    def __call__(
        self, projected: torch.Tensor, rotation: Rotation, packing: Packing, reach: int | None
    ) -> torch.Tensor:
        """See :class:`Attention`."""
        from pixie_retrievers.encoder.gpu_kernels import attend

        wide = reach is None
        tiles = packing.wide_tiles if wide else packing.tiles
        return attend(projected, rotation.cos, rotation.signed_sin, tiles, 128 if wide else 64, reach)


class FlashAttention:
    """torch's flash attention, for all texts at once: CUDA, bfloat16 or float16."""

    def rotation(self, table: Rotation, packing: Packing) -> Rotation:
        """See :class:`Attention`."""
        return table.of_tokens(packing)

    def __call__(
        self, projected: torch.Tensor, rotation: Rotation, packing: Packing, reach: int | None
    ) -> torch.Tensor:
        """See :class:`Attention`."""
        query, key, value = _turned(projected, rotation)
        longest, window = packing.longest, -1 if reach is None else reach
        seen: torch.Tensor = torch.ops.aten._flash_attention_forward(  # noqa: SLF001  # its public name is newer
            query, key, value, packing.offsets, packing.offsets, longest, longest, 0.0, False, False,
            window_size_left=window, window_size_right=window,
        )[0]  # fmt: skip
        return seen


class TextByText:
    """One text after the other, in strips where a token does not see all of it: any device and type."""

    def rotation(self, table: Rotation, packing: Packing) -> Rotation:
        """See :class:`Attention`."""
        return table.of_tokens(packing)

    def __call__(
        self, projected: torch.Tensor, rotation: Rotation, packing: Packing, reach: int | None
    ) -> torch.Tensor:
        """See :class:`Attention`."""
        query, key, value = _turned(projected, rotation)
        seen = torch.empty_like(value)
        heads_first = [values.transpose(0, 1).unsqueeze(0) for values in (query, key, value, seen)]
        for start, stop in pairwise(packing.ends):
            q, k, v, out = (values[:, :, start:stop] for values in heads_first)
            length = stop - start
            if reach is None or reach >= length - 1:
                out.copy_(scaled_dot_product_attention(q, k, v))
                continue
            positions = torch.arange(length, device=query.device)
            for first in range(0, length, _STRIP):
                last = min(length, first + _STRIP)
                low, high = max(0, first - reach), min(length, last + reach)
                mask = (positions[first:last, None] - positions[None, low:high]).abs() <= reach
                out[:, :, first:last] = scaled_dot_product_attention(
                    q[:, :, first:last], k[:, :, low:high], v[:, :, low:high], mask
                )
        return seen


def _turned(projected: torch.Tensor, rotation: Rotation) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values, the former two turned by their position."""
    both = projected[:, :2]
    swapped = both.roll(both.shape[-1] // 2, -1)
    both = torch.addcmul(both * rotation.cos[:, None, None], swapped, rotation.signed_sin[:, None, None])
    both = both.to(projected.dtype)
    return both[:, 0], both[:, 1], projected[:, 2]
