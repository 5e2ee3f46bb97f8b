"""What `pixie index` reads: JSONL, text files, and folders of both, checked whole before anything is encoded."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

from pixie_retrievers.errors import DuplicateIdError, InvalidDocumentError, InvalidParameterError, InvalidTextError
from pixie_retrievers.index.documents import check_document, content_id
from pixie_retrievers.types import Document

__all__ = ["Fields", "Inputs", "Split", "read_documents"]

_JSONL = {".jsonl", ".ndjson"}
_TEXT = {".txt", ".md"}


class Split(str, Enum):
    """What one document of a text file is."""

    auto = "auto"
    file = "file"
    paragraph = "paragraph"


@dataclass(frozen=True, slots=True)
class Fields:
    """Where a JSON object keeps what a document needs.

    Attributes:
        text: The text; it must be there.
        id: The id; None takes ``id`` or ``_id`` where there is one, and the content's hash otherwise.
        title: A title, encoded in front of the text.
    """

    text: str = "text"
    id: str | None = None
    title: str = "title"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Checked documents that stay in their files: each pass reads them anew, and holds one at a time.

    Attributes:
        paths, fields, split: What :func:`read_documents` was called with.
        n_documents: How many there were when they were checked.
    """

    paths: tuple[Path, ...]
    fields: Fields
    split: Split
    n_documents: int

    def __len__(self) -> int:
        return self.n_documents

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in _documents(self.paths, self.fields, self.split))


def read_documents(paths: Sequence[Path], *, fields: Fields | None = None, split: Split = Split.auto) -> Inputs:
    """Every document of every input, in order; all are checked now, and read again when they are asked for.

    A JSON object becomes a document with its text; a title stands in front of it, on a line of its own. Every field
    but text and id becomes metadata, the title too. A text file named on its own gives one document a paragraph, one
    found in a folder gives one document; ``split`` decides for both. Their ids are their paths.

    Args:
        paths: ``.jsonl``, ``.txt`` and ``.md`` files, and folders, which are read recursively and in sorted order.
        fields: Where a JSON object keeps what a document needs.
        split: What one document of a text file is.

    Raises:
        InvalidParameterError: A path does not exist, cannot be read, or holds nothing to read.
        InvalidDocumentError, InvalidTextError: A line is at fault; the message names file and line.
        DuplicateIdError: An id stands twice; the message names both places.
    """
    inputs = Inputs(tuple(paths), fields or Fields(), split, 0)
    seen: set[bytes] = set()  # 16 bytes an id: a corpus of millions fits
    for place, document in _documents(inputs.paths, inputs.fields, inputs.split):
        digest = hashlib.blake2b(document.id.encode(), digest_size=16).digest()
        if digest in seen:
            first = next(
                place for place, other in _documents(inputs.paths, inputs.fields, split) if other.id == document.id
            )
            raise DuplicateIdError(f"{place}: the id {document.id!r} stands at {first} already; ids must be unique")
        seen.add(digest)
    if not seen:
        raise InvalidParameterError(f"nothing to index: {', '.join(map(str, paths))} holds no document")
    return replace(inputs, n_documents=len(seen))


def _documents(paths: Sequence[Path], fields: Fields, split: Split) -> Iterator[tuple[str, Document]]:
    """Each document, checked, with its place."""
    n_copies: dict[str, int] = {}
    for path in paths:
        for place, own_id, text, metadata in _read(path, fields, split):
            if own_id is not None:
                id = own_id
            else:
                key = content_id(text, metadata)
                n_copies[key] = n_copies.get(key, 0) + 1
                id = key if n_copies[key] == 1 else f"{key}-{n_copies[key]}"
            document = Document(id, text, metadata)
            try:
                check_document(document)
            except (InvalidDocumentError, InvalidTextError) as error:
                raise type(error)(f"{place}: {error}") from None
            yield place, document


_Row = tuple[str, "str | None", str, "Mapping[str, Any]"]


def _read(path: Path, fields: Fields, split: Split) -> Iterator[_Row]:
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in _JSONL | _TEXT
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        if not files:
            raise InvalidParameterError(f"{path}: there is no .jsonl, .txt or .md file in this folder")
        for file in files:
            yield from _read_file(file, file.relative_to(path).as_posix(), fields, paragraphs=split is Split.paragraph)
    elif not path.exists():
        raise InvalidParameterError(f"{path}: no such file or folder")
    elif path.suffix.lower() not in _JSONL | _TEXT:
        raise InvalidParameterError(f"{path}: cannot tell what it holds; pass .jsonl, .txt or .md files, or a folder")
    else:
        yield from _read_file(path, path.name, fields, paragraphs=split is not Split.file)


def _read_file(path: Path, name: str, fields: Fields, *, paragraphs: bool) -> Iterator[_Row]:
    try:
        if path.suffix.lower() in _JSONL:
            yield from _read_jsonl(path, fields)
        else:
            yield from _read_text(path, name, paragraphs=paragraphs)
    except OSError as error:
        raise InvalidParameterError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_text(path: Path, name: str, *, paragraphs: bool) -> Iterator[_Row]:
    content = _decoded(path.read_bytes(), str(path)).replace("\r\n", "\n")
    if not paragraphs:
        if content.strip():
            yield str(path), name, content.strip(), {"source": name}
        return
    blocks = (block.strip() for block in re.split(r"\n[^\S\n]*\n", content))
    for number, block in enumerate(filter(None, blocks), start=1):
        yield f"{path}, paragraph {number}", f"{name}#{number}", block, {"source": name, "paragraph": number}


def _read_jsonl(path: Path, fields: Fields) -> Iterator[_Row]:
    with path.open("rb") as lines:  # bytes: only a line feed ends a line, as JSONL has it
        for number, line in enumerate(lines, start=1):
            place = f"{path}:{number}"
            content = _decoded(line, place).strip()
            if content:
                yield place, *_parsed(content, place, fields)


def _parsed(line: str, place: str, fields: Fields) -> tuple[str | None, str, Mapping[str, Any]]:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidDocumentError(f"{place}: nested too deep") from None
    except ValueError as error:
        reason = f"{error.msg} (column {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)
        raise InvalidDocumentError(f"{place}: not valid JSON: {reason}") from None
    if not isinstance(row, dict):
        raise InvalidDocumentError(f"{place}: a line must be a JSON object, not {_kind(row)}")
    if fields.text not in row:
        raise InvalidDocumentError(f"{place}: there is no field {fields.text!r}; name the right one with --text-field")
    text = row.pop(fields.text)
    if not isinstance(text, str):
        raise InvalidTextError(f"{place}: the field {fields.text!r} is {_kind(text)}, not a string")
    id = _popped_id(row, place, fields)
    title = row.get(fields.title)
    if isinstance(title, str) and title.strip():
        row.setdefault("title", title)  # where whoever shows a document looks for it
        text = f"{title.strip()}\n{text}"
    return id, text, row


def _popped_id(row: dict[str, Any], place: str, fields: Fields) -> str | None:
    names = [fields.id] if fields.id is not None else [name for name in ("id", "_id") if name in row][:1]
    for name in names:
        if name not in row:
            raise InvalidDocumentError(f"{place}: there is no field {name!r}, which --id-field names")
        id = row.pop(name)
        if id is None and fields.id is None:
            return None
        if isinstance(id, bool) or not isinstance(id, (str, int)):
            raise InvalidDocumentError(f"{place}: the id is {_kind(id)}, not a string")
        return str(id)
    return None


def _decoded(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidTextError(
            f"{place}: not UTF-8 (byte {error.start}); convert the file first, for example with"
            " `iconv -f CP949 -t UTF-8`"
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
