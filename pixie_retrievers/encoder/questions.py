"""One question on a GPU: all its kernels recorded once, and started by one call.

A question of a dozen tokens keeps a GPU busy for a millisecond, and Python for twenty: it starts some 500 kernels. A
CUDA graph starts them all. Its shapes are fixed, so there is one for each of a few lengths, recorded when it is first
needed; how many of its tokens are a question's is one of its inputs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pixie_retrievers.encoder.head import BlockwisePooling
from pixie_retrievers.encoder.modernbert import ModernBert
from pixie_retrievers.encoder.packing import TILE, WIDE_TILE, Packing

__all__ = ["QuestionGraphs"]

_LENGTHS = (16, 32, 64, 128, 256)


class QuestionGraphs:
    """Vectors of single short texts; one call at a time.

    Args:
        network: What comes before the head, with attention that needs no word from the host.
        head: The head.
    """

    def __init__(self, network: ModernBert, head: BlockwisePooling) -> None:
        self._network = network
        self._head = head
        self._graphs: dict[int, _Graph] = {}
        self._stream = torch.cuda.Stream(network.device)

    def takes(self, n_tokens: int) -> bool:
        """Whether a text is short enough."""
        return n_tokens <= _LENGTHS[-1]

    def __call__(self, ids: NDArray[np.int32]) -> torch.Tensor:
        """A text's pooled vector: float32 of (1, vocabulary), on the host, and good until the next call.

        Args:
            ids: Its tokens.
        """
        length = next(length for length in _LENGTHS if length >= len(ids))
        with torch.cuda.device(self._network.device), torch.cuda.stream(self._stream):
            if length not in self._graphs:
                self._graphs[length] = _Graph(self._network, self._head, length)
            return self._graphs[length](ids)


class _Graph:
    """The passes of texts of up to so many tokens, recorded on the current stream."""

    def __init__(self, network: ModernBert, head: BlockwisePooling, length: int) -> None:
        self._network, self._head, self._length = network, head, length
        # The tokens, and how many they are.
        self._given = torch.zeros(length + 1, dtype=torch.int32, pin_memory=True)
        self._given[length] = length
        self._found = torch.empty(1, head.embedding_dimension, dtype=torch.float32, pin_memory=True)
        for _ in range(2):  # libraries set themselves up at a first call, and may not while recording
            self._compute()
        torch.cuda.current_stream().synchronize()
        self._graph = torch.cuda.CUDAGraph()
        self._graph.capture_begin(capture_error_mode="thread_local")
        try:
            self._compute()
        finally:
            self._graph.capture_end()

    def __call__(self, ids: NDArray[np.int32]) -> torch.Tensor:
        self._given[: len(ids)] = torch.from_numpy(ids)
        self._given[self._length] = len(ids)
        self._graph.replay()
        torch.cuda.current_stream().synchronize()
        return self._found

    def _compute(self) -> None:
        length = self._length
        device = self._network.device
        given = self._given.to(device, non_blocking=True)
        ids, n_tokens = given[:length], given[length:]
        positions = torch.arange(length, dtype=torch.int32, device=device)

        def tiles(size: int) -> torch.Tensor:
            starts = torch.arange(0, length, size, dtype=torch.int32, device=device)
            return torch.stack((starts, torch.zeros_like(starts), n_tokens.expand_as(starts)))

        offsets = torch.cat((n_tokens - n_tokens, n_tokens))
        # Tokens behind the text are computed with, and belong to nobody: neither attention nor head looks at them.
        packing = Packing(ids, positions, positions, offsets, tiles(TILE), tiles(WIDE_TILE), [0, length], length)
        logits = self._head.decoder(self._network(packing))
        logits = logits.float().masked_fill((positions >= n_tokens)[:, None], 0)
        self._found.copy_(self._head.pooled_logits(logits), non_blocking=True)
