"""A CSR matrix for scipy, and the documents of its rows."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from pixie_retrievers.exports.base import Batches, Settings, json_line

__all__ = ["export_npz"]

_ARRAYS: dict[str, np.dtype[Any]] = {"data": np.dtype("<f4"), "indices": np.dtype("<i4"), "indptr": np.dtype("<i8")}


def export_npz(batches: Batches, folder: Path, settings: Settings) -> Mapping[str, Any]:
    """Write ``vectors.npz``, which ``scipy.sparse.load_npz`` reads, and ``documents.jsonl``, a line a row.

    The arrays grow in temporary files, whatever their size, and are then put into the archive, uncompressed.
    """
    n_rows = n_weights = 0
    with ExitStack() as stack:
        spools = {name: stack.enter_context(tempfile.TemporaryFile(dir=folder)) for name in _ARRAYS}
        file = stack.enter_context((folder / "documents.jsonl").open("xb"))
        spools["indptr"].write(np.zeros(1, _ARRAYS["indptr"]).tobytes())
        for documents, vectors in batches:
            spools["data"].write(vectors.weights.astype(_ARRAYS["data"]).tobytes())
            spools["indices"].write(vectors.term_ids.astype(_ARRAYS["indices"]).tobytes())
            spools["indptr"].write((vectors.indptr[1:] + n_weights).astype(_ARRAYS["indptr"]).tobytes())
            n_rows += len(vectors)
            n_weights += len(vectors.weights)
            for document in documents:
                file.write(json_line({"id": document.id, "text": document.text, "metadata": document.metadata}))
        archive = stack.enter_context(zipfile.ZipFile(folder / "vectors.npz", "x"))
        for name, value in (("format", b"csr"), ("shape", [n_rows, settings.vocabulary_size])):
            with archive.open(f"{name}.npy", "w") as entry:
                npy.write_array(entry, np.array(value), allow_pickle=False)
        for (name, dtype), length in zip(_ARRAYS.items(), (n_weights, n_weights, n_rows + 1), strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                _write_npy(entry, spools[name], dtype, length)
    return {}


def _write_npy(entry: IO[bytes], spool: IO[bytes], dtype: np.dtype[Any], length: int) -> None:
    npy.write_array_header_1_0(entry, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)})
    spool.seek(0)
    shutil.copyfileobj(spool, entry, 1 << 20)
