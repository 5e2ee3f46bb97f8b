"""Where our own search call spends its time: kernels, SQL, decoding, and the Python and numpy around them.

Compiled functions, the reading store and the codec are wrapped with clocks that stop while an inner one runs, so the
parts add up to the whole. The clocks themselves cost about a microsecond a call, which falls to the part around it.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from peers import Peer

__all__ = ["profile"]

_PACKAGE = "pixie_retrievers.index.sqlite"
_REST = "Python and numpy"


class _Clocks:
    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._stack = [_REST]
        self._since = time.perf_counter()

    def switch(self) -> None:
        now = time.perf_counter()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(getattr(function, "py_func", function))
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.calls[part] += 1
            self.switch()
            self._stack.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.switch()
                self._stack.pop()

        return timed

    def wrap_transaction(self, transaction: Callable[..., Any]) -> Callable[..., Any]:
        """Time BEGIN and COMMIT, not what runs between them."""

        @contextmanager
        def timed(*args: Any) -> Iterator[None]:
            inner = transaction(*args)
            self.wrap("SQL", inner.__enter__)()
            try:
                yield
            except BaseException:
                if not inner.__exit__(*sys.exc_info()):
                    raise
            else:
                self.wrap("SQL", inner.__exit__)(None, None, None)

        return timed


def profile(peer: Peer, queries: Sequence[Any], k: int) -> dict[str, dict[str, float]]:
    """Milliseconds, share and calls a query, by part; wall time of the calling thread."""
    clocks = _Clocks()
    with _wrapped(clocks):
        clocks.seconds.clear()
        clocks.switch()
        clocks.seconds.clear()
        for query in queries:
            peer.search(query, k)
        clocks.switch()
    total = sum(clocks.seconds.values())
    return {
        part: {
            "ms": seconds / len(queries) * 1e3,
            "share": seconds / total,
            "calls": clocks.calls[part] / len(queries),
        }
        for part, seconds in clocks.seconds.most_common()
    }


@contextmanager
def _wrapped(clocks: _Clocks) -> Iterator[None]:
    from numba.core.dispatcher import Dispatcher

    undo: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, part: str) -> None:
        original = getattr(owner, name)
        undo.append((owner, name, original))
        setattr(owner, name, clocks.wrap(part, original))

    modules = [module for name, module in sys.modules.items() if name.startswith(_PACKAGE)]
    try:
        for module in modules:
            for name, value in list(vars(module).items()):
                if isinstance(value, Dispatcher):
                    replace(module, name, f"kernel {name}")
                elif isinstance(value, FunctionType) and value.__module__ == f"{_PACKAGE}.codec" and name[0] != "_":
                    replace(module, name, "decoding")
        store = sys.modules[f"{_PACKAGE}.read_store"].ReadStore
        for name, value in list(vars(store).items()):
            if callable(value) and name[0] != "_" and name != "transaction":
                replace(store, name, "SQL")
        undo.append((store, "transaction", store.transaction))
        store.transaction = clocks.wrap_transaction(store.transaction)
        yield
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)
