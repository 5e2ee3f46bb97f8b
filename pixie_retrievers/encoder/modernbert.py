"""ModernBERT over texts that lie behind each other: no padding, and no step that is not needed to infer.

The weights and modules are those that transformers loaded, and so is what they compute; only how texts are brought to
them differs. Whether it gives what transformers' own pass gives is tried when a model is loaded. Models that are loaded
without transformers have the same modules under the same names, and no other pass.

Source: Warner et al. 2024, "Smarter, Better, Faster, Longer" (arXiv 2412.13663), sections 2.1 and 2.2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from pixie_retrievers.encoder.attention import (
    Attention,
    FlashAttention,
    FusedAttention,
    Rotation,
    TextByText,
    flash_runs_on,
)
from pixie_retrievers.encoder.direct.network import DirectModernBert
from pixie_retrievers.encoder.packing import Packing

__all__ = ["ModernBert", "packed_network"]

_MOST_POSITIONS = 1 << 17  # their rotations are kept: 67 MB for each of two kinds of layer

_logger = logging.getLogger("pixie_retrievers")


class ModernBert:
    """A masked language model's states in front of its last layer.

    Args:
        network: A ``ModernBertForMaskedLM`` of transformers, set to evaluate, or what stands in for one.
        max_length: How many tokens a text has at most.
    """

    def __init__(self, network: Any, max_length: int) -> None:
        self._network = network
        self._layers = list(network.model.layers)
        windows = [layer.attn.sliding_window for layer in self._layers]
        self._reaches = [None if window is None else int(window) - 1 for window in windows]
        self._kinds = [layer.attention_type for layer in self._layers]
        self._tables = {kind: self._table(kind, max_length) for kind in set(self._kinds)}
        dtype = network.model.final_norm.weight.dtype
        self.runs_on_gpu_alone = flash_runs_on(self.device, dtype)
        self._attention: Attention = FlashAttention() if self.runs_on_gpu_alone else TextByText()
        self._gated: Callable[[torch.Tensor, Any], torch.Tensor] = _gated
        self._normalised: Callable[[Any, torch.Tensor], torch.Tensor] = _normalised

    @property
    def size(self) -> int:
        """How many numbers it has, those of the last layer not among them."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        device: torch.device = self._network.device
        return device

    def fuse(self) -> bool:
        """Take this package's kernels, which Triton compiles in a few seconds, once on a machine.

        Where it cannot, as without a C compiler, nothing changes, the log says why, and this is False.
        """
        head_size = self._layers[0].attn.head_dim
        if not self.runs_on_gpu_alone or head_size not in (32, 64, 128):
            return False
        before = self._attention, self._gated, self._normalised
        try:
            from pixie_retrievers.encoder import gpu_kernels

            self._attention = FusedAttention()
            if self._network.config.hidden_activation == "gelu":
                self._gated = gpu_kernels.gated
            self._normalised = _fused_normalised
            self(Packing.of([np.arange(1, 4, dtype=np.int32)], self.device))
        except Exception as error:  # noqa: BLE001  # what a missing compiler raises has many names
            self._attention, self._gated, self._normalised = before
            _logger.info("torch's own kernels are used: Triton cannot compile here (%s)", error)
            return False
        return True

    def __call__(self, packing: Packing) -> torch.Tensor:
        """What the last layer is given, (n_tokens, hidden).

        Args:
            packing: Texts of at most as many tokens as the model reads.
        """
        rotations = {kind: self._attention.rotation(table, packing) for kind, table in self._tables.items()}
        hidden = self._network.model.embeddings(packing.ids)
        for layer, kind, reach in zip(self._layers, self._kinds, self._reaches, strict=True):
            projected = layer.attn.Wqkv(self._normalised(layer.attn_norm, hidden)).unflatten(
                -1, (3, -1, layer.attn.head_dim)
            )
            seen = self._attention(projected, rotations[kind], packing, reach)
            hidden = _added(hidden, layer.attn.Wo, seen.flatten(1))
            inner = self._gated(layer.mlp.Wi(self._normalised(layer.mlp_norm, hidden)), layer.mlp.act)
            hidden = _added(hidden, layer.mlp.Wo, inner)
        states: torch.Tensor = self._network.head(self._normalised(self._network.model.final_norm, hidden))
        return states

    def _table(self, kind: str, max_length: int) -> Rotation:
        positions = torch.arange(max_length, device=self.device)
        # What it is given first only says where, and in which type.
        cos, sin = self._network.model.rotary_emb(positions.float(), positions.unsqueeze(0), kind)
        half = sin.shape[-1] // 2
        return Rotation(cos[0].float(), torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=-1).float())


def _added(hidden: torch.Tensor, linear: Any, values: torch.Tensor) -> torch.Tensor:
    """The states with what a layer makes of some values added to them; they may be overwritten."""
    if type(linear) is nn.Linear and linear.bias is None:  # one kernel
        return hidden.addmm_(values, linear.weight.t())
    product: torch.Tensor = linear(values)
    return product.add_(hidden)


def _normalised(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    normalised: torch.Tensor = norm(hidden)
    return normalised


def _fused_normalised(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    if type(norm) is not nn.LayerNorm:  # the first layer has none
        return _normalised(norm, hidden)
    from pixie_retrievers.encoder.gpu_kernels import normalised

    return normalised(hidden, norm.weight, norm.bias, norm.eps)


def _gated(values: torch.Tensor, activation: Any) -> torch.Tensor:
    """The activation of the first half of each row, times the second."""
    half = values.shape[-1] // 2
    activated: torch.Tensor = activation(values[:, :half])
    return activated.mul_(values[:, half:])


def packed_network(network: Any, max_length: int) -> ModernBert | None:
    """The network for texts behind each other; None, and a word in the log, where it does not give the same.

    Args:
        network: A masked language model whose last layer was taken out.
        max_length: How many tokens a text has at most.
    """
    if isinstance(network, DirectModernBert):
        return ModernBert(network, max_length)  # it has no other pass
    if type(network).__name__ != "ModernBertForMaskedLM" or max_length > _MOST_POSITIONS:
        return None
    ids = np.arange(1, 8, dtype=np.int32)
    try:
        with torch.inference_mode():
            if any(kind != "default" for kind in network.model.rotary_emb.rope_type.values()):
                return None  # angles may depend on the length of a text
            packed = ModernBert(network, max_length)
            given = torch.from_numpy(ids[None].astype(np.int64)).to(packed.device)
            expected = network(input_ids=given).logits[0].float()
            found = packed(Packing.of([ids[:1], ids], packed.device))[1:].float()
        # Rounding adds up over the layers; another computation would be off by as much as the states themselves.
        if float((found - expected).norm()) <= 0.05 * float(expected.norm()):
            return packed
        reason = "its states differ"
    except (AttributeError, TypeError, KeyError, ValueError, RuntimeError) as error:  # another release's ModernBERT
        reason = f"{type(error).__name__}: {error}"
    _logger.info("ModernBERT is run as transformers does, with padding: %s", reason)
    return None
