"""What counts as a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pixie_retrievers.errors import InvalidTextError

__all__ = ["checked_texts"]


def checked_texts(texts: Sequence[str]) -> list[str]:
    """The texts as a list.

    Raises:
        InvalidTextError: One is not a string or cannot be written as UTF-8; its content is not quoted.
    """
    if isinstance(texts, str):
        raise InvalidTextError("texts is one string; pass a list of strings")
    if not isinstance(texts, Iterable):
        raise InvalidTextError(f"texts is of type {type(texts).__name__}; pass a list of strings")
    checked = list(texts)
    for position, text in enumerate(checked):
        if not isinstance(text, str):
            raise InvalidTextError(f"text {position} is of type {type(text).__name__}; it must be a string")
        if not _is_utf8(text):
            raise InvalidTextError(
                f"text {position} holds half of a surrogate pair, which UTF-8 cannot carry: decode it with"
                " errors='replace', or drop the character"
            )
    return checked


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # it carries the text, so it must not become part of the error that is raised
        return False
    return True
