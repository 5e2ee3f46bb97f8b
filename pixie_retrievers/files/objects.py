"""JSON objects out of a text: of one line, of an array, or one after the other, each parsed when its turn comes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO

from pixie_retrievers.errors import InvalidDocumentError
from pixie_retrievers.files.encodings import MAX_CHARACTERS

__all__ = ["json_object", "json_objects"]

_BLANK = re.compile(r"[ \t\r\n]*")
_CHUNK = 1 << 20


def json_object(text: str, place: str) -> dict[str, Any]:
    """The JSON object that a text is.

    Raises:
        InvalidDocumentError: It is not one; the message begins with the place.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (RecursionError, ValueError) as error:
        raise _refusal(error, place) from None
    return _checked(value, place)


def json_objects(file: TextIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of an array, or objects that follow one another, each with its place.

    Args:
        file: Read as far as an object reaches.
        name: What a place begins with.

    Raises:
        InvalidDocumentError: Something is not an object, or stands where nothing should.
    """
    text = _Text(file)
    in_array = text.peek() == "["
    if in_array:
        text.skip()
    place, number, behind_comma = f"{name}, item 1", 1, False
    while (next_one := text.peek()) and (next_one != "]" or not in_array or behind_comma):
        try:
            value = text.value()
        except (RecursionError, ValueError) as error:
            raise _refusal(error, place) from None
        yield place, _checked(value, place)
        number += 1
        place = f"{name}, item {number}"
        if in_array:
            behind_comma = text.peek() == ","
            if behind_comma:
                text.skip()
            elif text.peek() not in ("]", ""):
                raise InvalidDocumentError(f"{place}: not valid JSON: a comma is missing in front of it")
    if in_array:
        if not text.peek():
            raise InvalidDocumentError(f"{place}: not valid JSON: the array has no end")
        text.skip()
        if text.peek():
            raise InvalidDocumentError(f"{place}: not valid JSON: something stands behind the array")


class _Text:
    """JSON in a file, of which no more is in memory than the value that is being read, and what was read with it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._buffer = ""
        self._start = 0
        self._is_complete = False

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            self._start = _BLANK.match(self._buffer, self._start).end()  # type: ignore[union-attr]  # it always matches
            if self._start < len(self._buffer) or self._is_complete:
                return self._buffer[self._start : self._start + 1]
            self._read_on()

    def skip(self) -> None:
        """Go past the character that was peeked at."""
        self._start += 1

    def value(self) -> Any:
        """The value that begins at the character that was peeked at."""
        while True:
            try:
                value, self._start = _DECODER.raw_decode(self._buffer, self._start)
            except json.JSONDecodeError:
                if self._is_complete or len(self._buffer) - self._start > MAX_CHARACTERS:
                    raise
                self._read_on()
            else:
                return value

    def _read_on(self) -> None:
        rest = self._buffer[self._start :]
        more = self._file.read(max(_CHUNK, len(rest)))  # twice as much each time: a long value is parsed few times over
        self._is_complete = not more
        self._buffer, self._start = rest + more, 0


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _refusal(error: RecursionError | ValueError, place: str) -> InvalidDocumentError:
    if isinstance(error, RecursionError):
        return InvalidDocumentError(f"{place}: nested too deep")
    reason = f"{error.msg} (column {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)
    return InvalidDocumentError(f"{place}: not valid JSON: {reason}")


def _checked(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    kinds = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    kind = kinds.get(type(value), "a number")
    raise InvalidDocumentError(f"{place}: a document must be a JSON object, not {kind}")
