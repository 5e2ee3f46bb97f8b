"""One model in each of several processes, for corpora that one process is too slow for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.device import choose_device, this_machine
from pixie_retrievers.encoder.unread import Unread, collect_unread, report_unread
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError
from pixie_retrievers.types import SparseVectors

if TYPE_CHECKING:
    from typing_extensions import Self

    from pixie_retrievers.encoder.pixie import PixieEncoder

__all__ = ["EncodingWorkers"]

_CHUNK = 64  # texts: what a worker takes at once


class EncodingWorkers:
    """Processes that each load the encoder's model and share the texts. Used as a context: leaving it ends them.

    They are spawned, never forked, so that CUDA and threads are sound in them. A script that uses them needs the usual
    ``if __name__ == "__main__":``.

    Args:
        encoder: A PixieEncoder; the workers give the vectors that it would give.
        devices: One process for each: ``["cuda:0", "cuda:1"]``, ``["cpu"] * 4``.

    Raises:
        InvalidParameterError: There is no device, or the encoder is not a PixieEncoder.
        DeviceUnavailableError: A device is not on this machine.
    """

    def __init__(self, encoder: Encoder, devices: Sequence[str]) -> None:
        from pixie_retrievers.encoder.pixie import PixieEncoder

        if not isinstance(encoder, PixieEncoder):
            raise InvalidParameterError(f"devices needs a PixieEncoder, not a {type(encoder).__name__}: leave it out")
        if isinstance(devices, str) or not devices:
            raise InvalidParameterError(f"devices is {devices!r}; it must be a list of devices, such as ['cpu', 'cpu']")
        machine = this_machine()
        names = [choose_device(device, machine) for device in devices]
        context = get_context("spawn")
        queue = context.SimpleQueue()
        for name in names:
            queue.put(name)
        n_threads = max(1, (os.cpu_count() or 1) // len(names))
        self._pool = ProcessPoolExecutor(
            len(names), context, initializer=_load, initargs=(queue, encoder.worker_options(), n_threads)
        )

    def __call__(self, texts: Sequence[str]) -> Iterator[SparseVectors]:
        """The vectors of the texts, in order, some at a time.

        Raises:
            ModelUnavailableError: A worker could not load the model, or ended.
        """
        chunks = [list(texts[start : start + _CHUNK]) for start in range(0, len(texts), _CHUNK)]
        try:
            for vectors, unread in self._pool.map(_encode, chunks):
                report_unread(unread)
                yield vectors
        except BrokenProcessPool as error:
            raise ModelUnavailableError(
                "a process that encodes could not load the model, or ended: it may have run out of memory (use fewer"
                ' devices), or the script that started it lacks `if __name__ == "__main__":`'
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


_encoder: PixieEncoder | None = None


def _load(queue: Any, options: dict[str, Any], n_threads: int) -> None:
    global _encoder  # noqa: PLW0603  # a worker process has one
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started this process ends it
    import torch

    from pixie_retrievers.encoder.pixie import PixieEncoder

    device = queue.get()
    if device == "cpu":
        torch.set_num_threads(n_threads)
    _encoder = PixieEncoder(**options, device=device)


def _encode(texts: list[str]) -> tuple[SparseVectors, Unread]:
    assert _encoder is not None
    with collect_unread() as unread:
        vectors = _encoder.encode_documents(texts)
    return vectors, unread
