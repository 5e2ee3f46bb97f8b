"""A SPLADE model over ModernBERT from its folder, in the time that its file takes to be read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pixie_retrievers.encoder.direct.folder import SpladeFolder, read_folder
from pixie_retrievers.encoder.direct.known import AnotherKind
from pixie_retrievers.encoder.direct.network import DirectModernBert, Tensors
from pixie_retrievers.encoder.direct.tokenizer import FileTokenizer, read_tokenizer
from pixie_retrievers.encoder.head import BlockwisePooling
from pixie_retrievers.encoder.modernbert import ModernBert
from pixie_retrievers.encoder.packing import Packing

__all__ = ["DirectSplade", "load_directly"]

_logger = logging.getLogger("pixie_retrievers")


class DirectSplade(nn.Module):
    """What this package asks of a ``SparseEncoder``, under the same names.

    Args:
        described: The folder.
        network: The network.
        pooling: The head with the network's last layer.
        tokenizer: The tokenizer.
        max_seq_length: Where texts are cut, in tokens.

    Attributes:
        tokenizer, max_seq_length: As they were passed.
        prompts, default_prompt_name: As the folder has them.
        max_active_dims: None: a folder does not limit them.
    """

    max_active_dims = None

    def __init__(
        self,
        described: SpladeFolder,
        network: DirectModernBert,
        pooling: BlockwisePooling,
        tokenizer: FileTokenizer,
        max_seq_length: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.pooling = pooling
        self.tokenizer = tokenizer
        self.prompts = dict(described.prompts)
        self.default_prompt_name = described.default_prompt_name
        self.max_seq_length = max_seq_length

    @property
    def transformers_model(self) -> DirectModernBert:
        """The network."""
        return self.network

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.network.device

    def preprocess(self, texts: Sequence[str], task: str | None = None) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """The tokens of texts, filled up on the right, and where they are: int64, (n_texts, longest)."""
        tokens = [torch.tensor(ids) for ids in self.tokenizer(texts, self.max_seq_length).input_ids]
        pad = self.tokenizer.pad_token_id
        return {
            "input_ids": nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=pad),
            "attention_mask": nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids in tokens], batch_first=True),
        }

    def forward(self, features: dict[str, torch.Tensor], task: str | None = None) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Put the pooled vectors, float32 of (n_texts, vocabulary), where sentence-transformers has them."""
        rows = zip(features["input_ids"].int(), features["attention_mask"].bool(), strict=True)
        packing = Packing.of([ids[mask].cpu().numpy() for ids, mask in rows], self.device)
        states = ModernBert(self.network, packing.longest)(packing)
        features["sentence_embedding"] = self.pooling.pooled(states, packing)
        return features


def load_directly(folder: Path, *, device: str, dtype: torch.dtype) -> DirectSplade | None:
    """Load a folder that passed :mod:`pixie_retrievers.encoder.safety`; None if it is not known through and through.

    It may be another kind of model then, or damaged: sentence-transformers loads it, or says what it lacks.

    Args:
        folder: The model's folder, in either layout.
        device: A device that is there.
        dtype: The type to which the stored weights are converted.

    Raises:
        ModelUnavailableError: A description cannot be read.
    """
    try:
        return _load(folder, device, dtype).eval()
    except AnotherKind as reason:
        _logger.info("%s is loaded by sentence-transformers, which takes a few seconds more (%s)", folder, reason)
        return None


def _load(folder: Path, device: str, dtype: torch.dtype) -> DirectSplade:
    described = read_folder(folder)
    tokenizer = read_tokenizer(described.weights.parent, described.network.vocab_size)
    length = described.max_seq_length or min(tokenizer.model_max_length, described.network.max_position_embeddings)
    if length <= tokenizer.backend_tokenizer.num_special_tokens_to_add(is_pair=False):
        raise AnotherKind("max_seq_length")
    tensors = Tensors(_read(described.weights, device, dtype))
    network = DirectModernBert(described.network, tensors)
    decoder = network.decoder(tensors)
    tensors.check_all_taken()
    pooling = BlockwisePooling(decoder, described.pooling_strategy, described.activation_function)
    return DirectSplade(described, network, pooling, tokenizer, length)


def _read(path: Path, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """The tensors of a file; on the CPU, in the type that they are stored in, they stay there, shared by processes."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise AnotherKind(path.name) from error
    if not all(tensor.is_floating_point() for tensor in tensors.values()):
        raise AnotherKind(path.name)
    return {name: tensor.to(device, dtype) for name, tensor in tensors.items()}
