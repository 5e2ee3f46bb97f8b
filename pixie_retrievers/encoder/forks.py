"""Whether a model can compute in a process that was forked: found out before it would hang.

The threads that torch computes with belong to the thread that first needed them. A child has that thread, if it is the
one that forked, and waits for ever for the others, which stayed behind. Nobody can be asked whether that is so; but one
more fork, in which it is tried, tells in milliseconds.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from pixie_retrievers.errors import ModelUnavailableError

__all__ = ["check_fork", "cuda_stayed_behind", "locks_of_models", "refusal"]

_PATIENCE_S = 2.0
_LARGE_ENOUGH = 1 << 18  # numbers: torch shares the work between threads

locks_of_models: WeakSet[Any] = WeakSet()
"""Held by whoever uses a model: where one is held at a fork, locks inside torch may be held too, and stay so."""


class _Fork:
    """What is known of a process that was forked after torch was imported."""

    was_in_use = False
    """Another thread was using a model meanwhile: no thread can compute here."""
    thread: int | None = None
    """The thread that forked, until it was seen to compute. Threads that began here have all that they need."""
    computes: bool | None = None
    """Whether it does; None before it was tried."""


def _after_in_child() -> None:
    if "torch" in sys.modules:
        _Fork.was_in_use = _Fork.was_in_use or any(lock.locked() for lock in locks_of_models)
        _Fork.thread, _Fork.computes = threading.get_ident(), None


def _is_without_threads() -> bool:
    """Whether nothing runs here but Python's own threads: so it is in a child, and where torch has done nothing yet."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) == threading.active_count()
    except OSError:  # not Linux, where processes are forked by themselves
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
    if "torch" in sys.modules and _is_without_threads():  # a fork may have been before this package came
        _Fork.thread = threading.main_thread().ident


def check_fork() -> None:
    """Refuse to compute in a fork that would hang; call it before torch is given any work.

    Raises:
        ModelUnavailableError: The process was forked after its parent had used torch, whose threads are not here.
    """
    if _Fork.was_in_use:
        raise refusal("this process was forked while another thread was using a model")
    if _Fork.thread is None or _Fork.thread != threading.get_ident():
        return
    if _Fork.computes is None:
        _Fork.computes = _computes()
    if not _Fork.computes:
        raise refusal("this process was forked after its parent had used torch, whose threads stayed behind")
    _Fork.thread = None


def cuda_stayed_behind() -> bool:
    """Whether the parent used a GPU: CUDA cannot be used on either side of a fork, and torch says so late."""
    import torch

    return bool(getattr(torch.cuda, "_is_in_bad_fork", bool)())


def refusal(why: str) -> ModelUnavailableError:
    """The error of a process that a model cannot compute in."""
    return ModelUnavailableError(
        f"{why}: a model cannot compute here. Start processes with multiprocessing's 'spawn' or 'forkserver', as in"
        " ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn')), and make the encoder in each of them"
    )


def _computes() -> bool:
    """Whether torch's threads answer in this thread: tried in a child of this process, which may hang."""
    import torch

    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads are lost is what is being tried
        child = os.fork()
    if not child:
        try:
            torch.zeros(_LARGE_ENOUGH).add_(1)
            os.write(write, b"1")
        finally:
            os._exit(0)
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], _PATIENCE_S)
        return bool(ready) and os.read(read, 1) == b"1"
    finally:
        os.close(read)
        with suppress(ProcessLookupError, ChildProcessError):  # the caller may look after all its children itself
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
