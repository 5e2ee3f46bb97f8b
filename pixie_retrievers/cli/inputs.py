"""What `pixie index` reads: rows, texts, and folders of both, checked whole before anything is encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TextIO

from pixie_retrievers.errors import DuplicateIdError, InvalidDocumentError, InvalidParameterError, InvalidTextError
from pixie_retrievers.files.encodings import MAX_CHARACTERS, lines, open_text, reading
from pixie_retrievers.files.fields import Fields, Row, composed
from pixie_retrievers.files.rows import ROW_SUFFIXES, InputFile, input_files, suffix_of
from pixie_retrievers.index.documents import check_document, content_id
from pixie_retrievers.types import Document
from pixie_retrievers.types.plain import json_form

__all__ = ["Inputs", "Source", "Split", "read_documents"]

_TEXT = {".txt", ".md"}
_READABLE = ".jsonl, .json, .csv, .tsv, .parquet, .txt or .md"


class Split(str, Enum):
    """What one document of a text file is."""

    auto = "auto"
    file = "file"
    paragraph = "paragraph"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Checked documents that stay in their files: each pass reads them anew, and holds one at a time.

    Attributes:
        sources: The files.
        fields: Where rows keep what a document needs.
        n_documents: How many there were when they were checked.
    """

    sources: tuple[Source, ...]
    fields: Fields
    n_documents: int

    def __len__(self) -> int:
        return self.n_documents

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in _documents(self.sources, self.fields))


@dataclass(frozen=True, slots=True)
class Source:
    """A file among the inputs.

    Attributes:
        file: The file, and how it is read.
        name: What ids are made of: its path inside the folder that was named, or its name; composed (NFC).
        by_paragraph: Of a text file: each paragraph is a document.
    """

    file: InputFile
    name: str
    by_paragraph: bool


def read_documents(
    paths: Sequence[Path], *, fields: Fields | None = None, split: Split = Split.auto, encoding: str | None = None
) -> Inputs:
    """Every document of every input, in order; all are checked now, and read again when they are asked for.

    A row of JSON Lines, a JSON array, CSV, TSV or Parquet becomes a document with its text; a title stands in front of
    it, on a line of its own. Every field but text and id becomes metadata, the title too. A text file named on its own
    gives one document a paragraph, one found in a folder gives one document; ``split`` decides for both. Their ids are
    their paths.

    Args:
        paths: Files, and folders, which are read recursively and in sorted order; text files may end in ``.gz``.
        fields: Where a row keeps what a document needs.
        split: What one document of a text file is.
        encoding: What files are written in that have no byte order mark and are not UTF-8.

    Raises:
        InvalidParameterError: A path does not exist, cannot be read, or holds nothing to read.
        InvalidDocumentError: A row is at fault; the message names file and line.
        InvalidTextError: A text is at fault; or files are in other encodings, and one message names them all.
        DuplicateIdError: An id stands twice; the message names both places.
        OptionalDependencyError: There is a Parquet file, and pyarrow is not installed.
    """
    found = [entry for path in paths for entry in _found(path, split)]
    files = input_files([path for path, _, _ in found], encoding)
    sources = [Source(file, composed(name), cut) for file, (_, name, cut) in zip(files, found, strict=True)]
    inputs = Inputs(tuple(sources), fields or Fields(), 0)
    seen: set[bytes] = set()  # 16 bytes an id: a corpus of millions fits
    for place, document in _documents(inputs.sources, inputs.fields):
        digest = hashlib.blake2b(document.id.encode(), digest_size=16).digest()
        if digest in seen:
            first = next(place for place, other in _documents(inputs.sources, inputs.fields) if other.id == document.id)
            raise DuplicateIdError(f"{place}: the id {document.id!r} already stands at {first}; ids must be unique")
        seen.add(digest)
    if not seen:
        raise InvalidParameterError(f"nothing to index: {', '.join(map(str, paths))} holds no document")
    return replace(inputs, n_documents=len(seen))


def _documents(sources: Sequence[Source], fields: Fields) -> Iterator[tuple[str, Document]]:
    """Each document, checked, with its place."""
    n_copies: dict[str, int] = {}
    for source in sources:
        for place, row in _read(source, fields):
            text, metadata = row.text, json_form(row.metadata)
            if row.title is not None:
                metadata.setdefault("title", row.title)  # where whoever shows a document looks for it
                text = f"{row.title}\n{text}" if fields.title_in_text else text
            if isinstance(metadata.get("source"), str):  # by custom a file's name, whoever wrote it down
                metadata["source"] = composed(metadata["source"])
            id = row.id
            if id is None:
                key = content_id(text, metadata)
                n_copies[key] = n_copies.get(key, 0) + 1
                id = key if n_copies[key] == 1 else f"{key}-{n_copies[key]}"
            document = Document(id, text, metadata)
            try:
                check_document(document)
            except (InvalidDocumentError, InvalidTextError) as error:
                raise type(error)(f"{place}: {error}") from None
            yield place, document


def _found(path: Path, split: Split) -> list[tuple[Path, str, bool]]:
    """The files of one input, each with its name, and whether its paragraphs are documents."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _is_readable(file) and _belongs(file, path)]
        if not files:
            raise InvalidParameterError(f"{path}: there is no {_READABLE} file in this folder")
        return [(file, file.relative_to(path).as_posix(), split is Split.paragraph) for file in files]
    if not path.exists():
        raise InvalidParameterError(f"{path}: no such file or folder")
    if not _is_readable(path):
        raise InvalidParameterError(f"{path}: cannot tell what it holds; pass {_READABLE} files, or a folder")
    return [(path, path.name, split is not Split.file)]


def _is_readable(path: Path) -> bool:
    return suffix_of(path) in ROW_SUFFIXES | _TEXT


def _belongs(file: Path, folder: Path) -> bool:
    """Whether something in a folder is to be read; a link that leads elsewhere is refused, not passed over."""
    if any(part.startswith(".") for part in file.relative_to(folder).parts) or file.is_dir():
        return False
    if file.is_symlink():
        try:
            target = file.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: a circle of links, before Python 3.13
            raise InvalidParameterError(f"{file}: the link leads nowhere; remove it") from None
        if not target.is_relative_to(folder.resolve()):
            raise InvalidParameterError(
                f"{file}: the link leads out of the folder; name its target as an input of its own, or remove it"
            )
    return True


def _read(source: Source, fields: Fields) -> Iterator[tuple[str, Row]]:
    file = source.file
    if suffix_of(file.path) in ROW_SUFFIXES:
        for place, row in file.rows():
            yield place, fields.of(row, place, is_table=file.is_table)
        return
    with reading(file.path), open_text(file.path, file.encoding, newline=None) as text:
        if not source.by_paragraph:
            content = _whole(file.path, text)
            if content:
                yield str(file.path), Row(source.name, None, content, {"source": source.name})
            return
        for number, content in enumerate(filter(None, _paragraphs(lines(file.path, text))), start=1):
            metadata = {"source": source.name, "paragraph": number}
            yield f"{file.path}, paragraph {number}", Row(f"{source.name}#{number}", None, content, metadata)


def _paragraphs(lines: Iterator[str]) -> Iterator[str]:
    """What stands between blank lines."""
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line)
        else:
            yield "".join(block).strip()
            block = []
    yield "".join(block).strip()


def _whole(path: Path, file: TextIO) -> str:
    content = file.read(MAX_CHARACTERS + 1)
    if len(content) > MAX_CHARACTERS:
        raise InvalidTextError(f"{path}: longer than {MAX_CHARACTERS:,} characters: use --split paragraph")
    return content.strip()
