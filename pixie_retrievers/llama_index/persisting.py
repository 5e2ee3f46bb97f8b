"""A temporary index in the folder into which LlamaIndex persists the rest."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from llama_index.core.vector_stores.simple import NAMESPACE_SEP

from pixie_retrievers.errors import IndexNotFoundError

if TYPE_CHECKING:
    import fsspec

    from pixie_retrievers.index.sqlite.engine import SqliteIndex

__all__ = ["keep_copy", "kept_copy"]


def keep_copy(index: SqliteIndex, target: str, fs: fsspec.AbstractFileSystem | None) -> None:
    """Copy an index to a path, in the place of an earlier copy: whole, or the earlier one stays.

    Args:
        index: Goes on where it is.
        target: The copy's path.
        fs: The file system of the target; None for this machine's own.

    Raises:
        StorageError: The copy cannot be written.
    """
    if fs is not None:
        with TemporaryDirectory(prefix="pixie-") as folder:
            draft = Path(folder, "index.db")
            index.backup(draft)
            fs.put_file(str(draft), target)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    index.backup(draft)
    draft.replace(path)  # whoever reads the earlier copy is told apart by the identity that each copy has


def kept_copy(folder: str, namespace: str) -> Path:
    """Where :func:`keep_copy` put a store's copy.

    Raises:
        IndexNotFoundError: There is none.
    """
    path = Path(folder, f"{namespace}{NAMESPACE_SEP}vector_store.db")
    if not path.exists():
        raise IndexNotFoundError(
            f"there is no store at {path}: one with a file of its own is not persisted, PixieVectorStore(file) opens it"
        )
    return path
