"""The SPLADE head in bounded memory: the maximum over positions is taken block by block, on raw logits.

A SPLADE weight is ``max over positions of log1p(relu(logit))``. Both functions rise, so the maximum may be taken first:
no (tokens x vocabulary) tensor ever exists as a whole, and padding costs nothing.

Source: max pooling as in SPLADE v2 (Formal et al. 2021), sum pooling as in SPLADE (Formal et al. 2021), the second
logarithm as in Geng et al. 2025 (arXiv 2504.14839).
"""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from pixie_retrievers.encoder.direct.network import DirectModernBert
from pixie_retrievers.encoder.packing import Packing

__all__ = ["BlockwisePooling", "masked_language_model", "split_heads"]

_BLOCK_BYTES = 1 << 26
_HOST_BLOCK_TOKENS = 192  # a processor has what it made of so many in its cache while it looks for the maxima

_logger = logging.getLogger("pixie_retrievers")


class BlockwisePooling(nn.Module):
    """Does the work of a masked language model's last layer and of ``SpladePooling`` behind it, in one.

    Args:
        decoder: The last layer: hidden states (n, hidden) to logits (n, vocabulary).
        pooling_strategy: "max" or "sum" over the positions of a text.
        activation_function: "relu" is log1p(relu(logit)); "log1p_relu" takes log1p once more.
        block_tokens: So many positions have logits at once; None is what fits into 64 MiB.
    """

    def __init__(
        self, decoder: nn.Linear, pooling_strategy: str, activation_function: str, *, block_tokens: int | None = None
    ) -> None:
        super().__init__()
        self.decoder: nn.Module = decoder  # quantised later, perhaps
        self.pooling_strategy = pooling_strategy
        self.activation_function = activation_function
        self.embedding_dimension = decoder.out_features
        self.block_tokens = block_tokens or max(16, _BLOCK_BYTES // (4 * self.embedding_dimension))

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Put the pooled vectors, float32 of shape (n_texts, vocabulary), where sentence-transformers looks for them.

        Args:
            features: ``token_embeddings``: the hidden states in front of the decoder, (n_texts, length, hidden) with
                an ``attention_mask`` of (n_texts, length), or flat with ``cu_seq_lens_q`` where texts end.
        """
        hidden = features["token_embeddings"]
        if "cu_seq_lens_q" in features:
            flat, ends = hidden.squeeze(0), features["cu_seq_lens_q"].tolist()
        else:
            mask = features["attention_mask"].bool()
            flat, ends = hidden[mask], [0, *mask.sum(dim=1).cumsum(dim=0).tolist()]
        features["sentence_embedding"] = self._pooled(flat, ends)
        return features

    def get_embedding_dimension(self) -> int:
        """The number of terms."""
        return self.embedding_dimension

    def pooled(self, hidden: torch.Tensor, packing: Packing, *, fused: bool = False) -> torch.Tensor:
        """The vectors of texts that lie behind each other, float32 of (n_texts, vocabulary).

        Args:
            hidden: The hidden states in front of the decoder, (n_tokens, hidden).
            packing: Where the texts lie.
            fused: Take this package's kernel for it, where there is one.
        """
        if not fused or self.pooling_strategy != "max":
            return self._pooled(hidden, packing.ends)
        from pixie_retrievers.encoder.gpu_kernels import text_maxima

        decoder: Any = self.decoder
        maxima = text_maxima(hidden, decoder.weight, decoder.bias, packing.owners, len(packing.ends) - 1)
        # A comparison with NaN is false, so that the kernel overlooks it.
        return self._activated(maxima.masked_fill_(~hidden.isfinite().all(), float("nan")))

    def _pooled(self, hidden: torch.Tensor, ends: list[int]) -> torch.Tensor:
        """One row a text from its positions ``ends[i]:ends[i + 1]`` of ``hidden``, shape (n_tokens, hidden)."""
        by_max = self.pooling_strategy == "max"
        shape = len(ends) - 1, self.embedding_dimension
        pooled = torch.full(shape, -torch.inf if by_max else 0, dtype=torch.float32, device=hidden.device)
        weight, bias = self._apart() if by_max else (None, None)
        size = self.block_tokens if hidden.is_cuda else min(self.block_tokens, _HOST_BLOCK_TOKENS)
        # New memory for each block would cost a quarter of the product: the system has to clear it first.
        room = hidden.new_empty(0 if weight is None else min(size, len(hidden)), self.embedding_dimension)
        text = 0
        for start in range(0, len(hidden), size):
            block = hidden[start : start + size]
            logits = self.decoder(block) if weight is None else torch.mm(block, weight.t(), out=room[: len(block)])
            stop = start + len(logits)
            if not by_max:
                logits = self._activated(logits.float().relu_())
            while text < len(pooled) and ends[text] < stop:
                rows = logits[max(0, ends[text] - start) : ends[text + 1] - start]
                if not by_max:
                    pooled[text] += rows.sum(dim=0)
                elif len(rows):
                    torch.maximum(pooled[text], rows.amax(dim=0).float(), out=pooled[text])
                if ends[text + 1] > stop:  # the text goes on in the next block
                    break
                text += 1
        if bias is not None:
            pooled += bias
        return self._activated(pooled.relu_()) if by_max else pooled

    def _apart(self) -> tuple[Any, Any]:
        """The decoder's weights, and its bias, where that can be added to a maximum instead of to each logit.

        In float32 it can, to the same number: the sum, rounded, rises with the logit. With shorter numbers the layer
        adds it before it rounds. Who watches the layer wants all of what it gives.
        """
        decoder: Any = self.decoder
        if type(decoder) is nn.Linear and decoder.weight.dtype == torch.float32 and not decoder._forward_hooks:  # noqa: SLF001
            return decoder.weight, decoder.bias
        return None, None

    def pooled_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """The vector of one text, float32 of (1, vocabulary), without a word from the host.

        Args:
            logits: float32 of (n_tokens, vocabulary); they are overwritten.
        """
        if self.pooling_strategy == "max":
            return self._activated(logits.amax(dim=0, keepdim=True).relu_())
        return self._activated(logits.relu_()).sum(dim=0, keepdim=True)

    def _activated(self, values: torch.Tensor) -> torch.Tensor:
        values = values.log1p_()
        return values.log1p_() if self.activation_function == "log1p_relu" else values


def split_heads(model: Any) -> None:
    """Take the last layer out of every masked language model in front of a ``SpladePooling``, and pool blockwise.

    Whether the layer really comes last is tried with a few tokens. Where it does not, the model stays as it is, and the
    log says so.

    Args:
        model: A loaded ``SparseEncoder``; it is changed.
    """
    decoders: dict[int, nn.Linear | None] = {}  # two routes of a router may share one transformer
    for parent in list(model.modules()):
        for (_, transformer), (name, pooling) in pairwise(parent.named_children()):
            if type(pooling).__name__ != "SpladePooling":
                continue
            network = masked_language_model(transformer)
            if id(network) not in decoders:
                decoders[id(network)] = None if network is None else _take_decoder(network)
            decoder = decoders[id(network)]
            if decoder is None:
                _logger.info(
                    "the head of %s cannot be split: its logits take tokens x vocabulary x 4 bytes",
                    type(network or transformer).__name__,
                )
                continue
            setattr(parent, name, BlockwisePooling(decoder, pooling.pooling_strategy, pooling.activation_function))


def masked_language_model(transformer: nn.Module) -> nn.Module | None:
    """The network of transformers that a module of sentence-transformers holds, or the one that stands in for both."""
    if isinstance(transformer, DirectModernBert):
        return transformer
    from transformers import PreTrainedModel

    return next((module for module in transformer.modules() if isinstance(module, PreTrainedModel)), None)


def _take_decoder(network: Any) -> nn.Linear | None:
    """Replace the last layer by nothing at all and return it; None, and no change, where it is not the last."""
    decoder = network.get_output_embeddings()
    if not isinstance(decoder, nn.Linear):
        return None
    places = [
        (parent, name)
        for parent in network.modules()
        for name, child in parent._modules.items()  # noqa: SLF001  # unlike named_children, it names shared ones twice
        if child is decoder
    ]
    token_ids = torch.arange(1, 5, device=decoder.weight.device).unsqueeze(0)
    with torch.inference_mode():
        expected = network(input_ids=token_ids).logits
        for parent, name in places:
            setattr(parent, name, nn.Identity())
        try:
            hidden = network(input_ids=token_ids).logits
            is_last = hidden.shape[-1] == decoder.in_features and torch.allclose(
                decoder(hidden).float(), expected.float(), rtol=1e-3, atol=1e-5 * (1 + float(expected.abs().max()))
            )
        except (RuntimeError, TypeError, ValueError, AttributeError):  # something behind it wants the logits
            is_last = False
    if not is_last:
        for parent, name in places:
            setattr(parent, name, decoder)
        return None
    return decoder
