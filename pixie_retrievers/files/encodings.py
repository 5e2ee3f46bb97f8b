"""Text files as people have them: UTF-8 with or without a mark, UTF-16, another encoding by name; compressed or not."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from pixie_retrievers.errors import InvalidParameterError, InvalidTextError

__all__ = ["MAX_CHARACTERS", "check_regular", "lines", "open_bytes", "open_text", "reading", "text_encodings"]

MAX_CHARACTERS = 10_000_000
"""No line and no text is longer: what is, is not what its name says, and would fill the memory."""

_CHUNK = 1 << 20
_SAMPLE = 1 << 16
_MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SHOWN = 5  # paths in a message


def check_regular(path: Path) -> None:
    """Refuse what cannot be read twice, before an open() waits for it.

    Raises:
        InvalidParameterError: The path is a named pipe, a socket or a device.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise InvalidParameterError(
            f"{path}: not a regular file: what comes out of a pipe or a device can be read only once; write it into a"
            " file first"
        )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What the file system, a compressed file and a decoder raise, as the package's own errors.

    Raises:
        InvalidParameterError: The file cannot be read.
        InvalidTextError: It is no longer written in the encoding that it was found to have.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidParameterError(f"{path}: cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise InvalidTextError(f"{path}: changed while it was read: run the command again") from error


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, unpacked where its name ends in ``.gz``."""
    check_regular(path)
    return cast("BinaryIO", gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb"))


def open_text(path: Path, encoding: str, *, newline: str | None = "\n") -> TextIO:
    """The file's text; with the default ``newline`` only a line feed ends a line, and nothing is translated."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, newline=newline)


def lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines of a file, none of them longer than memory allows.

    Raises:
        InvalidTextError: A line is longer than 10 million characters.
    """
    number = 0
    while line := file.readline(MAX_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_CHARACTERS:
            raise InvalidTextError(
                f"{path}:{number}: the line is longer than {MAX_CHARACTERS:,} characters: check what the file holds,"
                " or break it into lines"
            )
        yield line


def text_encodings(paths: Sequence[Path], named: str | None = None) -> dict[Path, str]:
    """What each text file is written in: what its byte order mark says, else UTF-8, else the encoding that is named.

    Every file is read to its end, so that no later reader meets a byte that it cannot decode.

    Args:
        paths: Text files.
        named: The encoding of files that have no mark and are not UTF-8; None where there should be none.

    Raises:
        InvalidParameterError: There is no such encoding, or a file cannot be read.
        InvalidTextError: Files are written in something else; one message names them all, and what they seem to be.
    """
    if named is not None:
        try:
            "x".encode(named)
        except (LookupError, ValueError):
            raise InvalidParameterError(f"there is no encoding {named!r}; pass one such as cp949") from None
    found: dict[Path, str] = {}
    faults: list[_Fault] = []
    for path in dict.fromkeys(paths):
        with reading(path):
            encoding = _encoding(path, named)
        if isinstance(encoding, str):
            found[path] = encoding
        else:
            faults.append(encoding)
    if faults:
        raise InvalidTextError(_described(faults, named))
    return found


@dataclass(frozen=True, slots=True)
class _Fault:
    """A file that cannot be decoded: where it fails, counted from 1, and what it seems to be; "" if damaged UTF-8."""

    path: Path
    byte: int
    line: int
    likely: str | None


def _encoding(path: Path, named: str | None) -> str | _Fault:
    with open_bytes(path) as file:
        head = file.read(_SAMPLE)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    # Every other byte of English in UTF-16 is zero, which is valid UTF-8 but nobody's text.
    is_wide = marked is None and head.count(0) * 4 > len(head)
    candidates = [marked] if marked else [*([] if is_wide else ["utf-8"]), *([named] if named else [])]
    fault = (0, 0)
    for number, candidate in enumerate(candidates):
        failed = _first_fault(path, candidate)
        if failed is None:
            return candidate
        fault = failed if number == 0 else fault
    byte, line = fault
    if marked:
        return _Fault(path, byte + 1, line + 1, "")
    return _Fault(path, byte + 1, line + 1, _likely(path, head, byte))


def _first_fault(path: Path, encoding: str) -> tuple[int, int] | None:
    """How many bytes and line feeds stand before the first byte that is not in the encoding; None when all are."""
    decoder = codecs.getincrementaldecoder(encoding)()
    n_bytes = n_lines = 0
    with open_bytes(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                object, start = (error.object, error.start) if isinstance(error, UnicodeDecodeError) else (chunk, 0)
                before = max(0, n_bytes - (len(object) - len(chunk)) + start)
                return before, n_lines + object[:start].count(b"\n")
            if not chunk:
                return None
            n_bytes += len(chunk)
            n_lines += chunk.count(b"\n")


def _likely(path: Path, head: bytes, first_fault: int) -> str | None:
    """The encoding that makes the most sense of a file; "" for UTF-8 with damage in it; None when nothing does."""
    sample = head
    if first_fault >= len(head):
        with open_bytes(path) as file:
            file.seek(first_fault - first_fault % 2)
            sample = file.read(_SAMPLE)
    n_faults = sample.decode("utf-8", "replace").count("\ufffd")
    if sum(character > "\x7f" for character in sample.decode("utf-8", "ignore")) > 10 * n_faults:
        return ""
    for encoding, pattern, share in _CANDIDATES:
        if encoding.startswith("utf-16") != (0 in sample):  # what a space or a line's end has in one, and in no other
            continue
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)
        except UnicodeError:
            continue
        if encoding.startswith("utf-16"):
            weighed = text
        else:
            weighed = "".join(character for character in text if character > "\x7f")
        if weighed and len(re.findall(pattern, weighed)) >= share * len(weighed):
            return encoding
    return None


_HANGUL = "[\uac00-\ud7a3\u3131-\u318e]"
_USUAL = f"{_HANGUL}|[\t\r\n -~\xa0-\xff\u2010-\u2026\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]"
_CANDIDATES = (  # in this order: what is Korean in one is often something in the next
    ("cp949", _HANGUL, 0.75),
    ("utf-16-le", _USUAL, 0.95),
    ("utf-16-be", _USUAL, 0.95),
    ("shift_jis", "[\u3040-\u30ff]", 0.3),
    ("euc_jp", "[\u3040-\u30ff]", 0.3),
    ("gb18030", "[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]", 0.9),
)


def _described(faults: Sequence[_Fault], named: str | None) -> str:
    kind = "not UTF-8" if named is None else f"neither UTF-8 nor {named}"
    by_likely: dict[str | None, list[_Fault]] = {}
    for fault in faults:
        by_likely.setdefault(fault.likely, []).append(fault)
    told = [_told(likely, group, kind) for likely, group in by_likely.items()]
    return "; ".join(told)


def _told(likely: str | None, faults: Sequence[_Fault], kind: str) -> str:
    paths = ", ".join(str(fault.path) for fault in faults[:_SHOWN])
    if len(faults) > _SHOWN:
        paths += f" and {len(faults) - _SHOWN} more"
    first, be, seem = faults[0], *(("is", "seems") if len(faults) == 1 else ("are", "seem"))
    if likely == "":
        where = f"byte {first.byte:,}, line {first.line:,}" + (" of the first" if len(faults) > 1 else "")
        return f"{paths}: damaged ({where}): all but a few characters are sound; repair the file, or leave it out"
    if likely is None:
        return f"{paths} {be} {kind}, and nothing tells what else: say what it is with --encoding"
    return f"{paths} {be} {kind} and {seem} to be {likely}: pass --encoding {likely}"
