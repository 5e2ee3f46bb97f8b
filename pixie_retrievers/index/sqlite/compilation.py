"""How loops are compiled: when first called, without the interpreter lock, and kept on disk where that can be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from numba import njit

__all__ = ["compiled"]

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(loop: _Loop) -> _Loop:
    """Compile a loop when it is first called, and keep the result beside its module or in the user's cache folder.

    Where neither can be written, as in a container that runs as another user than the one it was built by, each process
    compiles for itself.
    """
    made: Any = njit(nogil=True)(loop)
    try:
        made.enable_caching()
    except RuntimeError:  # numba found no folder
        _say_that_nothing_is_kept()
    kept: _Loop = made
    return kept


@cache
def _say_that_nothing_is_kept() -> None:
    logging.getLogger("pixie_retrievers").warning(
        "compiled code is not kept, because no folder for it can be written: the first search of each process takes"
        " seconds longer; set NUMBA_CACHE_DIR to a folder that can be written"
    )
