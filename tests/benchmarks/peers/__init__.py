"""One file an engine, and here the list of all."""

from __future__ import annotations

from pathlib import Path

from peers.base import Answer, Peer

__all__ = ["REFERENCE", "Answer", "Peer", "all_peers"]

REFERENCE = "splade-index"
"""The engine that speed is compared with."""


def all_peers(milvus_python: Path | None = None) -> list[Peer]:
    """Every engine, installed or not, in the order of the tables; nothing heavy is imported yet."""
    from peers.bm25s import Bm25s
    from peers.milvus import Milvus
    from peers.pixie import Pixie
    from peers.qdrant import Qdrant
    from peers.scipy_matrix import NumpyColumns, ScipyMatrix
    from peers.seismic import Seismic
    from peers.splade_index import SpladeIndex

    return [
        Pixie(),
        Pixie(threads=2),
        Pixie("float16"),
        Pixie("uint8"),
        SpladeIndex(),
        Bm25s(),
        NumpyColumns(),
        ScipyMatrix(),
        Seismic(5),
        Seismic(10),
        Milvus(milvus_python),
        Qdrant(),
    ]
