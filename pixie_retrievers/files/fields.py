"""Which field of a row is the text, the id and the title: named, or found under the names that people use."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pixie_retrievers.errors import InvalidDocumentError, InvalidTextError

__all__ = ["Fields", "Row", "composed"]

_TEXT = ("text", "content", "contents", "page_content", "body", "본문", "내용")
_ID = ("id", "_id")
_TITLE = ("title", "제목")
_EXACT = 2**53  # from here on, not every whole number is a float


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says of a document.

    Attributes:
        id: None where the row has none.
        title: Without outer spaces; None where the row has none.
        text: As it stands there.
        metadata: All other fields, the title too.
    """

    id: str | None
    title: str | None
    text: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fields:
    """Where a row keeps what a document needs. None takes the first of the usual names, in any letter case.

    Attributes:
        text: text, content, contents, page_content, body, 본문 or 내용; it must be there.
        id: id or _id; the content's hash where there is none.
        title: title or 제목.
        title_in_text: The title is to stand in front of the text; False where an index puts it there itself.
    """

    text: str | None = None
    id: str | None = None
    title: str | None = None
    title_in_text: bool = True

    def of(self, row: Mapping[str, Any], place: str, *, is_table: bool = False) -> Row:
        """Tell a row's text, id and title from its metadata.

        Args:
            row: It stays as it is.
            place: What a message begins with.
            is_table: A cell without a value is no field, and a text without one is empty.

        Raises:
            InvalidDocumentError: The text is missing, an id that is named is, or an id is not a string or whole number.
            InvalidTextError: The text is not a string.
        """
        rest = dict(row)
        name = _name(rest, self.text, _TEXT)
        if name is None:
            raise InvalidDocumentError(
                f"{place}: there is no field {self.text or 'text'!r}; it has {_listed(rest)}: name the right one with"
                " --text-field"
            )
        text = rest.pop(name)
        if is_table and text is None:
            text = ""
        if is_table and isinstance(text, (int, float)) and not isinstance(text, bool):
            text = str(text)  # a column in which every text happens to be a number
        if not isinstance(text, str):
            raise InvalidTextError(f"{place}: the field {name!r} is {_kind(text)}, not a string")
        id = self._id(rest, place, is_table=is_table)
        title_name = _name(rest, self.title, _TITLE)
        title = None if title_name is None else rest[title_name]
        if not isinstance(title, str) or not title.strip():
            title = None
        if is_table:
            rest = {key: value for key, value in rest.items() if value is not None and value != ""}
        return Row(id, title and title.strip(), text, rest)

    def _id(self, rest: dict[str, Any], place: str, *, is_table: bool) -> str | None:
        name = _name(rest, self.id, _ID)
        if name is None:
            if self.id is not None:
                raise InvalidDocumentError(f"{place}: there is no field {self.id!r}, which --id-field names")
            return None
        value = rest.pop(name)
        if self.id is None and (value is None or (is_table and value == "")):
            return None
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
            return str(int(value))  # 7.0: a column of whole numbers with gaps, as pandas writes one
        if is_table and isinstance(value, float):
            return str(value)  # the cell as it was written
        raise InvalidDocumentError(f"{place}: the id is {_kind(value)}, not a string or a whole number")


def composed(name: str) -> str:
    """A file's name with its letters composed (NFC): macOS takes 가 apart, everybody else writes it whole."""
    return unicodedata.normalize("NFC", name)


def _name(row: Mapping[str, Any], named: str | None, usual: Iterable[str]) -> str | None:
    if named is not None:
        return named if named in row else None
    for name in usual:
        if name in row:
            return name
    by_folded = {key.strip().casefold(): key for key in row if isinstance(key, str)}
    return next((by_folded[name] for name in usual if name in by_folded), None)


def _listed(row: Mapping[str, Any]) -> str:
    names = [repr(name[:40]) for name in row]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") if names else "none"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    if isinstance(value, float) and not value.is_integer():
        return "a fraction"
    return names.get(type(value), "a number")
