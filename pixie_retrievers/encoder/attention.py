"""Local attention in strips: what a token looks at around itself, without a (length x length) mask.

Two of three layers of ModernBERT see only the 64 tokens on each side (Warner et al. 2024, section 2.1.2). The ordinary
path still multiplies every token with every other and masks what is too far: at 8,192 tokens a mask of 67 million
entries, and most of the time of a layer. Here a strip of tokens meets only the keys that it may see.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["attend_in_strips"]

_NAME = "pixie_strips"
_STRIP = 256


def attend_in_strips(model: Any) -> None:
    """Switch every ModernBERT of a model from torch's own attention to strips; leave other models alone.

    Args:
        model: A loaded ``SparseEncoder``; it is changed.
    """
    import transformers
    from transformers import PreTrainedModel

    if int(transformers.__version__.split(".", maxsplit=1)[0]) < 5:  # ModernBERT had no exchangeable attention before
        return
    networks = [
        module
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        and module.config.model_type == "modernbert"
        and module.config._attn_implementation == "sdpa"  # noqa: SLF001  # it has no public name
    ]
    if not networks:
        return
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, _padding)
    for network in networks:
        network.set_attn_implementation(_NAME)


def _padding(*_: Any, attention_mask: torch.Tensor | None = None, **__: Any) -> torch.Tensor | None:
    """Which positions are text, bool of (n_texts, length); None where all are."""
    if attention_mask is None or bool(attention_mask.all()):
        return None
    return attention_mask.bool()


def _attend(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it.

    Args:
        query, key, value: (n_texts, heads, length, head size).
        attention_mask: What :func:`_padding` returned.
        scaling: What products are multiplied with.
        sliding_window: One more than the distance that a token sees to each side; None sees everything.
    """
    length = query.shape[2]
    text = None if attention_mask is None else attention_mask[:, None, None, :]
    reach = length if sliding_window is None else sliding_window - 1
    if reach >= length - 1:
        seen = scaled_dot_product_attention(query, key, value, attn_mask=text, scale=scaling)
        return seen.transpose(1, 2).contiguous(), None
    parts = []
    positions = torch.arange(length, device=query.device)
    for start in range(0, length, _STRIP):
        stop = min(length, start + _STRIP)
        low, high = max(0, start - reach), min(length, stop + reach)
        distance = (positions[start:stop, None] - positions[None, low:high]).abs()
        mask = distance <= reach
        if text is not None:
            # Padding far from any text would see nothing, and become NaN: it may see itself.
            mask = (mask & text[..., low:high]) | (distance == 0)
        parts.append(
            scaled_dot_product_attention(
                query[:, :, start:stop], key[:, :, low:high], value[:, :, low:high], attn_mask=mask, scale=scaling
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None
