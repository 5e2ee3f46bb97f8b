"""As much of a long text as the tokenizer has to see: it reads whole texts, and only then cuts what it made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["encode_prefixes"]

_CHARACTERS_A_TOKEN = 8  # more than most texts have; of one that has more, a longer prefix is taken
_GROWTH = 4
_REACH = 1024
_MARGIN = 64  # no tokenizer looks so far ahead

# Neither is changed by what stands before it, nor changes it, however a tokenizer normalises: white space after a
# word, and where there is none, a letter that no other letter composes with.
_WORD_END = re.compile(r"\S(?=\s)")
_LETTER = re.compile("(?=[0-9A-Za-z가-힣一-鿿])")


def encode_prefixes(backend: Any, texts: Sequence[str], prompt: str, max_length: int) -> list[tuple[str, Any]]:
    """Of each text as much as gives the tokens that the whole text gives, and those tokens.

    A prefix stands for its text when the first word that is not read any more begins well before the prefix ends: what
    a tokenizer makes of a word depends on the word, and on a character or two around it.

    Args:
        backend: A tokenizer that cuts what it reads to ``max_length`` tokens, on the right.
        texts: The texts.
        prompt: What stands before each of them.
        max_length: Special tokens included.
    """
    lengths = [_boundary(text, _CHARACTERS_A_TOKEN * max_length + _REACH) for text in texts]
    found: list[tuple[str, Any]] = [("", None)] * len(texts)
    open_ = list(range(len(texts)))
    while open_:
        prefixes = [texts[n][: lengths[n]] for n in open_]
        encodings = backend.encode_batch([prompt + prefix for prefix in prefixes])
        too_short = []
        for n, prefix, encoding in zip(open_, prefixes, encodings, strict=True):
            if lengths[n] < len(texts[n]) and not _stands_for_all(encoding, len(prompt) + lengths[n]):
                lengths[n] = _boundary(texts[n], _GROWTH * lengths[n])
                too_short.append(n)
            else:
                found[n] = (prefix, encoding)
        open_ = too_short
    return found


def _boundary(text: str, length: int) -> int:
    """Where a text can be cut, at or after a length; its own length where it cannot."""
    if length >= len(text):
        return len(text)
    match = _WORD_END.search(text, length, length + _REACH) or _LETTER.search(text, length, length + _REACH)
    return match.end() if match else len(text)


def _stands_for_all(encoding: Any, end: int) -> bool:
    unread = encoding.overflowing
    if not unread or (last := _last_word(encoding)) == _last_word(unread[-1]):
        return False
    return any(
        word is not None and word != last and start <= end - _MARGIN
        for rest in unread
        for word, (start, _) in zip(rest.word_ids, rest.offsets, strict=True)
    )


def _last_word(encoding: Any) -> int | None:
    return next((word for word in reversed(encoding.word_ids) if word is not None), None)
