"""A reader of the Common Index File Format, from its definition: no line of it is shared with what writes it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PostingsList", "read_ciff"]


@dataclass
class PostingsList:
    """A term, and where it stands: (document, impact)."""

    term: str
    df: int
    cf: int
    postings: list[tuple[int, int]]


def read_ciff(content: bytes) -> tuple[dict[int, int | bytes], list[PostingsList], list[tuple[int, str, int]]]:
    """The header's fields by number, the postings lists, and (number, id, length) of each document."""
    message, place = _delimited(content, 0)
    header = dict(_fields(message))
    lists, records = [], []
    for _ in range(header[2]):
        message, place = _delimited(content, place)
        lists.append(_postings_list(message))
    for _ in range(header[3]):
        message, place = _delimited(content, place)
        record = {1: 0, 3: 0} | dict(_fields(message))
        records.append((record[1], record[2].decode(), record[3]))
    assert place == len(content)
    return header, lists, records


def _postings_list(message):
    found = PostingsList("", 0, 0, [])
    document = 0
    for number, value in _fields(message):
        if number == 1:
            found.term = value.decode()
        elif number == 2:
            found.df = value
        elif number == 3:
            found.cf = value
        else:
            posting = {1: 0, 2: 0} | dict(_fields(value))
            document += posting[1]
            found.postings.append((document, posting[2]))
    return found


def _fields(message):
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(message, place)
        elif kind == 1:
            value, place = message[place : place + 8], place + 8
        else:
            assert kind == 2
            value, place = _delimited(message, place)
        yield number, value


def _delimited(content, place):
    length, place = _varint(content, place)
    assert place + length <= len(content)
    return content[place : place + length], place + length


def _varint(content, place):
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
