"""ModernBERT's layers around the tensors of a weights file: what is computed with them, the packed pass computes.

The parts have the names that they have in transformers, so that one pass serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pixie_retrievers.encoder.direct.config import ModernBertConfig
from pixie_retrievers.encoder.direct.known import AnotherKind
from pixie_retrievers.encoder.linear import linear_of

__all__ = ["DirectModernBert", "Tensors"]

_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


class Tensors:
    """The tensors of a file, each taken once, and none left over.

    Args:
        tensors: By name.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._left = dict(tensors)

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """One tensor.

        Raises:
            AnotherKind: It is not there, of another shape, or taken.
        """
        tensor = self._left.pop(name, None)
        if tensor is None or tensor.shape != shape:
            raise AnotherKind(name)
        return tensor

    def linear(self, name: str, n_in: int, n_out: int, *, bias: bool) -> nn.Linear:
        """A linear layer."""
        return linear_of(self.take(f"{name}.weight", n_out, n_in), self.take(f"{name}.bias", n_out) if bias else None)

    def norm(self, name: str, config: ModernBertConfig) -> nn.LayerNorm:
        """A normalisation of states."""
        norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)
        norm.weight = nn.Parameter(self.take(f"{name}.weight", config.hidden_size), requires_grad=False)
        if config.norm_bias:
            norm.bias = nn.Parameter(self.take(f"{name}.bias", config.hidden_size), requires_grad=False)
        return norm

    def check_all_taken(self) -> None:
        """See that nothing is left.

        Raises:
            AnotherKind: Something is.
        """
        if self._left:
            raise AnotherKind(next(iter(self._left)))


class _Rotations:
    """Which angles positions are turned by.

    Source: Su et al. 2021, RoFormer (arXiv 2104.09864), section 3.2.2.
    """

    def __init__(self, config: ModernBertConfig) -> None:
        self._config = config

    def __call__(self, like: torch.Tensor, positions: torch.Tensor, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, (n_texts, n_positions, head size), for positions (n_texts, n_positions)."""
        size = self._config.head_dim
        # On the CPU, where transformers works them out: a GPU rounds powers differently.
        frequencies = 1.0 / (self._config.thetas[kind] ** (torch.arange(0, size, 2, dtype=torch.float) / size))
        halves = positions[..., None].float() * frequencies.to(positions.device)
        angles = torch.cat((halves, halves), dim=-1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


class DirectModernBert(nn.Module):
    """A ``ModernBertForMaskedLM`` in front of its decoder, which :class:`~pixie_retrievers.encoder.head` takes over.

    Args:
        config: Its sizes.
        tensors: Its weights; the decoder's are left.

    Raises:
        AnotherKind: The weights are not those of the description.
    """

    def __init__(self, config: ModernBertConfig, tensors: Tensors) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        embeddings = tensors.take("model.embeddings.tok_embeddings.weight", config.vocab_size, size)
        self.model = _parts(
            embeddings=nn.Sequential(
                nn.Embedding.from_pretrained(embeddings), tensors.norm("model.embeddings.norm", config)
            ),
            layers=nn.ModuleList(_layer(config, tensors, n) for n in range(len(config.layer_types))),
            final_norm=tensors.norm("model.final_norm", config),
            rotary_emb=_Rotations(config),
        )
        self.head = nn.Sequential(
            tensors.linear("head.dense", size, size, bias=config.classifier_bias),
            _ACTIVATIONS[config.classifier_activation](),
            tensors.norm("head.norm", config),
        )

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.parameters()).device

    def decoder(self, tensors: Tensors) -> nn.Linear:
        """The last layer, of the weights that are left.

        Raises:
            AnotherKind: They are not those of the description.
        """
        config, size = self.config, self.config.hidden_size
        embeddings = self.get_parameter("model.embeddings.0.weight")
        weight: torch.Tensor = embeddings if config.tied else tensors.take("decoder.weight", config.vocab_size, size)
        return linear_of(weight, tensors.take("decoder.bias", config.vocab_size) if config.decoder_bias else None)


def _layer(config: ModernBertConfig, tensors: Tensors, n: int) -> nn.Module:
    name, size, inner = f"model.layers.{n}", config.hidden_size, config.intermediate_size
    kind = config.layer_types[n]
    return _parts(
        attention_type=kind,
        attn_norm=tensors.norm(f"{name}.attn_norm", config) if n else nn.Identity(),  # the embeddings are normalised
        attn=_parts(
            head_dim=config.head_dim,
            # As transformers counts it: the token itself and those on one side of it.
            sliding_window=config.local_attention // 2 + 1 if kind == "sliding_attention" else None,
            Wqkv=tensors.linear(f"{name}.attn.Wqkv", size, 3 * size, bias=config.attention_bias),
            Wo=tensors.linear(f"{name}.attn.Wo", size, size, bias=config.attention_bias),
        ),
        mlp_norm=tensors.norm(f"{name}.mlp_norm", config),
        mlp=_parts(
            Wi=tensors.linear(f"{name}.mlp.Wi", size, 2 * inner, bias=config.mlp_bias),
            act=_ACTIVATIONS[config.hidden_activation](),
            Wo=tensors.linear(f"{name}.mlp.Wo", inner, size, bias=config.mlp_bias),
        ),
    )


def _parts(**parts: Any) -> nn.Module:
    module = nn.Module()
    for name, part in parts.items():
        setattr(module, name, part)
    return module
