"""A tokenizer that panics: Rust's PanicException is not an Exception, and passes every ``except`` on its way up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pixie_retrievers.errors import UnsafeModelError

__all__ = ["panics_refused", "try_tokenizer"]


@contextmanager
def panics_refused(tokenizer: str = "the model's tokenizer") -> Iterator[None]:
    """Around every call of a tokenizer that came with a model; also as a decorator.

    Args:
        tokenizer: What the error calls it.

    Raises:
        UnsafeModelError: It panicked.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # it cannot be imported
            raise
        why = (str(error).strip().splitlines() or [""])[0]
        raise UnsafeModelError(
            f"{tokenizer} breaks down at a text ({why}): fetch the model again, or pass another"
        ) from None


def try_tokenizer(tokenizer: Any) -> None:
    """Give a tokenizer texts of several kinds: most that panic do so here."""
    tokenizer(["", " ", "한국어 text 1\u20e3", "\u1112\u1161\u11ab", "\U0001f34e\ufe0f\u200d", "\0\n\ufffd"])
