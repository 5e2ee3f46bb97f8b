"""From an index to a folder of files, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import warnings
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixie_retrievers import __version__
from pixie_retrievers.errors import DuplicateIdError, InvalidParameterError, PixieWarning
from pixie_retrievers.exports.anserini import export_anserini
from pixie_retrievers.exports.base import Exporter, Settings
from pixie_retrievers.exports.beir import export_beir
from pixie_retrievers.exports.ciff import export_ciff
from pixie_retrievers.exports.lucene import export_elasticsearch, export_opensearch
from pixie_retrievers.exports.npz import export_npz
from pixie_retrievers.exports.parquet import export_parquet
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.sqlite.failures import TranslatedErrors
from pixie_retrievers.index.sqlite.files import sync_file, sync_folder
from pixie_retrievers.parameters import check_path, check_whole_number
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["EXPORTERS", "Exported", "export_index"]

EXPORTERS: dict[str, Exporter] = {
    "anserini": export_anserini,
    "ciff": export_ciff,
    "opensearch": export_opensearch,
    "elasticsearch": export_elasticsearch,
    "beir": export_beir,
    "parquet": export_parquet,
    "npz": export_npz,
}
"""What writes each format."""

_QUANTISED = ("anserini", "ciff")
_STEPS = 100
_NAMED_AT_ONCE = 10_000
_TABLE = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of an export.

    Attributes:
        folder: Where it is.
        files: Its files, relative to the folder.
        n_bytes: Of all files.
        manifest: What ``manifest.json`` says: the format, the counts, how weights were rounded.
    """

    folder: Path
    files: tuple[str, ...]
    n_bytes: int
    manifest: Mapping[str, Any]


def export_index(
    index: Index,
    format: str,
    folder: str | os.PathLike[str],
    *,
    quantise: int | None = None,
    tokens: Callable[[Sequence[int]], Sequence[str]] | None = None,
    advance: Callable[[int], Any] = lambda _: None,
) -> Exported:
    """Write every document of an index, with its vector, in the format of another program.

    The files grow in a folder beside, named ``....partial-...``, which takes its place when it is whole. Documents are
    read a batch at a time; others may write meanwhile, so long as they replace nothing.

    Args:
        index: Any engine's.
        format: One of :data:`EXPORTERS`.
        folder: Is made; an empty one may be there.
        quantise: So many steps a unit of weight, for anserini and ciff, which have whole numbers only; None for 100.
        tokens: Names terms, as an encoder's ``tokens`` does: they are written to ``terms.tsv``.
        advance: Called with the number of documents written since the last call.

    Raises:
        InvalidParameterError: The format is unknown, the folder is not empty, or ``quantise`` does not suit the
            format or the weights.
        DuplicateIdError: A document was replaced while the index was read.
        OptionalDependencyError: The format needs what is not installed.
        StorageError: The file system refused. Whatever is raised, nothing is left behind.
    """
    if format not in EXPORTERS:
        raise InvalidParameterError(f"format is {format!r}; it must be one of {', '.join(EXPORTERS)}")
    if quantise is not None and format not in _QUANTISED:
        raise InvalidParameterError(f"quantise is for {' and '.join(_QUANTISED)}; {format} keeps weights as they are")
    check_whole_number("quantise", quantise, none_means=f"{_STEPS} steps")
    check_path("folder", folder)
    settings = Settings(index.vocabulary_size, index.fingerprint, quantise or _STEPS)
    target = _resolved(folder)
    with TranslatedErrors(target):
        _check_free(target)
        draft = target.with_name(f"{target.name}.partial-{secrets.token_hex(4)}")
        draft.mkdir(parents=True)
        try:
            counted = _Counted(index, advance)
            details = EXPORTERS[format](iter(counted), draft, settings)
            counted.check()
            if counted.n_spaced and format in _QUANTISED:
                _warn_of_spaces(counted.n_spaced)
            if tokens is not None:
                _write_terms(draft / "terms.tsv", tokens, index.vocabulary_size)
            manifest = {
                "format": format,
                "n_documents": counted.n_documents,
                "n_postings": counted.n_postings,
                "vocabulary_size": index.vocabulary_size,
                "fingerprint": index.fingerprint,
                **details,
                "pixie_retrievers": __version__,
            }
            text = json.dumps(manifest, ensure_ascii=False, indent=2)
            (draft / "manifest.json").write_text(text + "\n", encoding="utf-8")
            paths = sorted(path for path in draft.rglob("*") if path.is_file())
            n_bytes = sum(path.stat().st_size for path in paths)
            files = tuple(path.relative_to(draft).as_posix() for path in paths)
            _put_in_place(draft, paths, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return Exported(target, files, n_bytes, manifest)


class _Counted:
    """The documents of an index, counted, and held to coming once."""

    def __init__(self, index: Index, advance: Callable[[int], Any]) -> None:
        self.n_documents = self.n_postings = self.n_spaced = 0
        self._index = index
        self._advance = advance
        self._seen = array("Q")  # 8 bytes a document; two that are alike by chance raise in vain, and never will

    def __iter__(self) -> Iterator[tuple[list[Document], SparseVectors]]:
        for documents, vectors in self._index.scan():
            yield documents, vectors
            self.n_documents += len(documents)
            self.n_postings += len(vectors.term_ids)
            for document in documents:
                digest = hashlib.blake2b(document.id.encode(), digest_size=8).digest()
                self._seen.append(int.from_bytes(digest, "little"))
                self.n_spaced += document.id.split() != [document.id]
            self._advance(len(documents))

    def check(self) -> None:
        """Refuse documents that were replaced meanwhile, and so came twice."""
        n_twice = len(self._seen) - len(np.unique(np.frombuffer(self._seen, np.uint64)))
        if n_twice:
            raise DuplicateIdError(
                f"{n_twice} documents were replaced while the index was read, and came twice: export again, or export a"
                " copy that nobody writes"
            )


def _warn_of_spaces(n: int) -> None:
    warnings.warn(
        f"{n} ids hold white space, at which run files are cut, and PISA's list of documents at line breaks: its later"
        " documents would go by wrong ids; store these under other ids, then export again",
        PixieWarning,
        stacklevel=3,
    )


def _resolved(folder: str | os.PathLike[str]) -> Path:
    try:
        return Path(folder).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        raise InvalidParameterError(f"{str(folder)!r} cannot be a folder: {error}") from error


def _check_free(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidParameterError(f"{target} is not an empty folder: name a new one")
    if os.path.ismount(target) or target == Path.cwd():
        raise InvalidParameterError(f"{target} cannot be replaced, only filled: name a new folder in it")


def _write_terms(path: Path, tokens: Callable[[Sequence[int]], Sequence[str]], n_terms: int) -> None:
    """A line a term: its id, a tab, its token, in which a backslash stands before a backslash, t, n and r."""
    with path.open("x", encoding="utf-8", newline="\n") as file:
        for start in range(0, n_terms, _NAMED_AT_ONCE):
            terms = range(start, min(start + _NAMED_AT_ONCE, n_terms))
            for term, token in zip(terms, tokens(terms), strict=True):
                file.write(f"{term}\t{token.translate(_TABLE)}\n")


def _put_in_place(draft: Path, files: Sequence[Path], target: Path) -> None:
    for path in files:
        sync_file(path)
    if target.exists():
        target.rmdir()  # Windows does not rename onto a folder
    draft.rename(target)
    sync_folder(target.parent)
