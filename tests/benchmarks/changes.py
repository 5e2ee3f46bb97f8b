"""What adding and deleting a thousand documents costs, on a copy of an engine's files."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from corpus import Corpus
from peers import Peer

__all__ = ["Changes", "measure_changes"]

_STEP = 1_000


@dataclass(frozen=True)
class Changes:
    """Seconds of each of three commits, in order: the first one takes the writer's lock and opens the writing side.

    Attributes:
        add_1000_s: A thousand new documents a commit.
        search_after_add_s: The first search after the first of them.
        delete_1000_s: A thousand documents a commit, spread over the whole index.
    """

    add_1000_s: list[float]
    search_after_add_s: float
    delete_1000_s: list[float]


def measure_changes(peer: Peer, corpus: Corpus, folder: Path, scratch: Path, k: int) -> Changes:
    """Copy the files, change the copy, and remove it."""
    shutil.copytree(folder, scratch)
    if hasattr(os, "sync"):
        os.sync()  # or the first commit waits until the whole copy is on the disk
    try:
        peer.open(scratch)
        query = peer.prepare(corpus.queries[0])
        peer.search(query, k)
        adds, after = [], 0.0
        for first in range(0, len(corpus.added), _STEP):
            start = time.perf_counter()
            peer.add(corpus, first, first + _STEP)
            adds.append(time.perf_counter() - start)
            if first == 0:
                after = peer.timed_search(query, k)[1]
        gone = np.random.default_rng(5).choice(len(corpus), len(adds) * _STEP, replace=False)
        deletes = []
        for first in range(0, len(gone), _STEP):
            start = time.perf_counter()
            peer.delete(gone[first : first + _STEP].tolist())
            deletes.append(time.perf_counter() - start)
        return Changes(adds, after, deletes)
    finally:
        peer.close()
        shutil.rmtree(scratch, ignore_errors=True)
