"""How a tokenizer writes its pieces, and what a person reads for them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Spelling", "TokenizerDescription", "is_whole"]

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_VISIBLE = {" ": "␣", "\u00a0": "␣", "\u3000": "␣", "\n": "↵", "\r": "␍", "\t": "⇥"}


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a tokenizer writes the pieces of a word; an empty marker means that it has none.

    Attributes:
        word_start: Stands for the space before a word ("▁").
        continuation: Stands before a piece that continues a word ("##").
        word_end: Stands behind a piece that ends a word ("</w>").
        byte_level: Pieces are bytes, each written as one letter of a fixed alphabet.
        byte_fallback: Single bytes are written as "<0xEC>".
    """

    word_start: str = ""
    continuation: str = ""
    word_end: str = ""
    byte_level: bool = False
    byte_fallback: bool = False

    @classmethod
    def of(cls, parts: dict[str, Any]) -> Spelling:
        """Read it off a tokenizer's own description (the content of ``tokenizer.json``)."""
        model = parts.get("model") or {}
        steps = [step for name in ("normalizer", "pre_tokenizer", "decoder") for step in _steps(parts.get(name))]
        decoders = list(_steps(parts.get("decoder")))
        kind = model.get("type")
        continuation = model.get("continuing_subword_prefix") or ""
        word_end = model.get("end_of_word_suffix") or ""
        word_start = ""
        for step in steps:
            if step.get("type") == "Metaspace":
                word_start = step.get("replacement") or word_start
        for step in decoders:
            if step.get("type") == "Replace" and step.get("content") == " ":
                word_start = word_start or (step.get("pattern") or {}).get("String", "")
            elif step.get("type") == "WordPiece":
                continuation = continuation or step.get("prefix") or ""
            elif step.get("type") == "BPEDecoder":
                word_end = word_end or step.get("suffix") or ""
        return cls(
            word_start=word_start,
            continuation=continuation if kind in ("WordPiece", "BPE") else "",
            word_end=word_end if kind == "BPE" else "",
            byte_level=any(step.get("type") == "ByteLevel" for step in steps),
            byte_fallback=bool(model.get("byte_fallback")) or any(s.get("type") == "ByteFallback" for s in decoders),
        )

    def surface(self, token: str) -> str:
        """What a person reads for a piece: never empty unless the piece is, never a replacement character."""
        if self.byte_fallback and (match := _BYTE_PIECE.fullmatch(token)):
            return _readable(_decode(bytes([int(match[1], 16)])))
        if self.byte_level:
            known = all(letter in _BYTE_OF for letter in token)
            return _readable(_decode(bytes(_BYTE_OF[letter] for letter in token)) if known else token)
        text = token
        if self.continuation and len(text) > len(self.continuation):
            text = text.removeprefix(self.continuation)
        if self.word_end and len(text) > len(self.word_end):
            text = text.removesuffix(self.word_end)
        if self.word_start:
            text = text.replace(self.word_start, " ")
        return _readable(text)


@dataclass(frozen=True, slots=True)
class TokenizerDescription:
    """A tokenizer, and what there is to know of it beside its file.

    Attributes:
        content: What ``tokenizer.json`` holds.
        spelling: How it writes the pieces of a word.
        special_ids: Its special tokens, ascending.
        side: From which side it cuts a long text, "right" or "left".
    """

    content: str
    spelling: Spelling
    special_ids: tuple[int, ...]
    side: str

    @classmethod
    def of(cls, tokenizer: Any) -> TokenizerDescription:
        """Of a fast tokenizer of transformers, without where it cuts and fills up, which is said at every call."""
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        content = tokenizer.backend_tokenizer.to_str()
        return cls(
            content,
            Spelling.of(json.loads(content)),
            tuple(sorted(set(tokenizer.all_special_ids))),
            getattr(tokenizer, "truncation_side", "right"),
        )


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """A normalizer, pre-tokenizer or decoder, and all the steps inside it."""
    if isinstance(part, dict):
        yield part
        for name in ("normalizers", "pretokenizers", "decoders"):
            for step in part.get(name) or []:
                yield from _steps(step)


def _byte_alphabet() -> dict[str, int]:
    """Letter to byte: printable Latin-1 stands for itself, the rest is moved to 256 and above, in order.

    Source: the byte-level BPE of GPT-2, which every later byte-level vocabulary is written in.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(moved)}


_BYTE_OF = _byte_alphabet()


def is_whole(token: str) -> bool:
    """Whether a piece in the byte alphabet is text; one that is not in it is."""
    try:
        bytes(_BYTE_OF.get(letter, 0) for letter in token).decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode(data: bytes) -> str:
    """UTF-8 where it is whole; the other bytes as ⟨EC⟩."""
    text = data.decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda match: f"⟨{ord(match[0]) - 0xDC00:02X}⟩", text)


def _readable(text: str) -> str:
    """Composed Hangul, no outer spaces, nothing invisible where that is all there is, no control characters."""
    bare = unicodedata.normalize("NFC", text.strip(" ") or text)
    if not bare.strip():
        return "".join(_VISIBLE.get(letter, f"⟨{ord(letter):02X}⟩") for letter in bare)
    return "".join(
        _VISIBLE[letter]
        if letter in "\n\r\t"
        else f"⟨{ord(letter):02X}⟩"
        if letter == "\ufffd" or unicodedata.category(letter) == "Cc"
        else letter
        for letter in bare
    )
