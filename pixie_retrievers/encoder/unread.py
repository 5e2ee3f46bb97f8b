"""Texts that the model does not read to their end: counted over a whole call, and said once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pixie_retrievers.errors import PixieWarning

__all__ = ["Unread", "collect_unread", "report_unread"]


@dataclass(slots=True)
class Unread:
    """How many texts were cut, and what of the longest was read.

    Attributes:
        n_cut: How many were longer than the model reads.
        n_texts: How many there were.
        max_length: How many tokens the model reads.
        longest: Characters of the longest text that was cut.
        read: How many of these the model read.
    """

    n_cut: int = 0
    n_texts: int = 0
    max_length: int = 0
    longest: int = 0
    read: int = 0

    def add(self, other: Unread) -> None:
        """Count what another part of the same call did not read."""
        self.n_cut += other.n_cut
        self.n_texts += other.n_texts
        self.max_length = max(self.max_length, other.max_length)
        if other.longest > self.longest:
            self.longest, self.read = other.longest, other.read


_collector: ContextVar[Unread | None] = ContextVar("unread", default=None)


@contextmanager
def collect_unread() -> Iterator[Unread]:
    """Inside, reports are added up and nothing is said; whoever collects reports the sum."""
    unread = Unread()
    token = _collector.set(unread)
    try:
        yield unread
    finally:
        _collector.reset(token)


def report_unread(unread: Unread) -> None:
    """Hand on to who collects; where nobody does, this is the end of a call, and it warns."""
    collector = _collector.get()
    if collector is not None:
        collector.add(unread)
    elif unread.n_cut:
        warnings.warn(
            f"the model read only the beginning of {unread.n_cut:,} of {unread.n_texts:,} texts, and nobody finds them"
            f" by the rest (it reads {unread.max_length:,} tokens; of the longest, {unread.longest:,} characters, it"
            f" read {unread.read:,}): split long texts, as split_documents and `pixie index --split` do, and keep long"
            " metadata out of what is encoded (LlamaIndex: excluded_embed_metadata_keys)",
            PixieWarning,
            stacklevel=_callers_level(),
        )


def _callers_level() -> int:
    """How far above :func:`report_unread` the first frame outside the package is."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001  # `skip_file_prefixes` came with Python 3.12
    package = __name__.partition(".")[0]
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
