"""Asynchronous calls: the synchronous ones, in threads of this package's own.

asyncio has as many threads as the machine has cores, and four. That suits work; callers who wait, for a server's
answer or for the pass of a model that takes all of their questions at once, are more. The asynchronous methods of a
server's own client would gain a quarter at most over these threads (``tests/benchmarks/engine_callers.py``), and belong
to the event loop in which they were first used.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import ParamSpec, TypeVar

__all__ = ["MAX_THREADS", "in_thread"]

MAX_THREADS = 64

_Parameters = ParamSpec("_Parameters")
_Value = TypeVar("_Value")


async def in_thread(
    call: Callable[_Parameters, _Value], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Value:
    """What a call returns, or raises, with the context variables of the caller; the event loop stays free.

    Of more than :data:`MAX_THREADS` at once, the rest waits for a thread.
    """
    context = copy_context()

    def run() -> _Value:
        try:
            return context.run(call, *args, **kwargs)
        except StopIteration as error:  # no future takes it: who awaits one would wait for ever
            raise RuntimeError("the call raised StopIteration") from error

    return await asyncio.get_running_loop().run_in_executor(_threads(os.getpid()), run)


@lru_cache(maxsize=1)
def _threads(_process_id: int) -> ThreadPoolExecutor:
    """The threads of this process, each begun when all others are busy: a fork has none of its parent's."""
    return ThreadPoolExecutor(MAX_THREADS, "pixie-async")
