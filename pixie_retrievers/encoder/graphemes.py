"""Characters as a person sees them: code points that belong together are marked together, or not at all."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right

__all__ = ["Graphemes"]

_ZERO_WIDTH_JOINER = "\u200d"
_JOINERS = frozenset("\u200c\u200d\uff9e\uff9f")
# Neither these nor their neighbours can be a part of anything longer, but for the few jamo in front of a syllable.
_UNSUSPECTED = re.compile(r"[^ -~가-힣一-鿿、。·]")


class Graphemes:
    """Where a text's characters of several code points begin and end.

    Args:
        text: Any string.

    Complexity:
        O(n) once, then O(log n) a question.

    Source: extended grapheme clusters (Unicode Standard Annex 29, rules GB3 to GB13); of Indic scripts as far as their
    signs are combining characters.
    """

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        checked = 0
        for match in _UNSUSPECTED.finditer(text):
            for position in (match.start(), match.end()):
                if checked < position < len(text) and self._joins(text, position):
                    if self._stops and self._stops[-1] == position:
                        self._stops[-1] = position + 1
                    else:
                        self._starts.append(position - 1)
                        self._stops.append(position + 1)
                checked = max(checked, position)

    def whole(self, start: int, stop: int) -> tuple[int, int]:
        """A range widened to whole characters; an empty one stays as it is."""
        if start >= stop:
            return start, stop
        first = bisect_right(self._starts, start) - 1
        if first >= 0 and start < self._stops[first]:
            start = self._starts[first]
        last = bisect_left(self._starts, stop) - 1
        if last >= 0 and stop < self._stops[last]:
            stop = self._stops[last]
        return start, stop

    def _joins(self, text: str, position: int) -> bool:
        """Whether the code points before and at a position are one character."""
        before, after = text[position - 1], text[position]
        if before == "\r" and after == "\n":
            return True
        if unicodedata.category(before) in ("Cc", "Zl", "Zp") or (
            unicodedata.category(before) == "Cf" and before not in _JOINERS and not _is_tag(before)
        ):
            return False
        if after in _JOINERS or unicodedata.category(after) in ("Mn", "Me", "Mc") or _is_modifier(after):
            return True
        if _is_flag_letter(before) and _is_flag_letter(after):
            started = bool(self._stops) and self._stops[-1] == position
            return not started or (position - self._starts[-1]) % 2 == 1
        if before == _ZERO_WIDTH_JOINER:
            return _is_picture(after) and _is_picture(_base(text, position - 2))
        return (_hangul(before), _hangul(after)) in _SYLLABLES


def _is_tag(character: str) -> bool:
    return 0xE0020 <= ord(character) <= 0xE007F


def _is_modifier(character: str) -> bool:
    """A skin tone, or one of the tags that spell a region's flag."""
    return 0x1F3FB <= ord(character) <= 0x1F3FF or _is_tag(character)


def _is_picture(character: str) -> bool:
    """Nearly: beside the emoji, other signs that no text joins with them."""
    return unicodedata.category(character) in ("So", "Sm") and not _is_flag_letter(character)


def _base(text: str, position: int) -> str:
    """The character that the combining ones up to a position belong to."""
    while position > 0 and (
        text[position] in "\u200c\uff9e\uff9f"
        or unicodedata.category(text[position]) in ("Mn", "Me")
        or _is_modifier(text[position])
    ):
        position -= 1
    return text[max(0, position)]


def _is_flag_letter(character: str) -> bool:
    return 0x1F1E6 <= ord(character) <= 0x1F1FF


_SYLLABLES = {*(("L", after) for after in ("L", "V", "LV", "LVT")), *((before, "V") for before in ("LV", "V"))}
_SYLLABLES |= {(before, "T") for before in ("LV", "V", "LVT", "T")}


def _hangul(character: str) -> str:
    """What a code point may be of a syllable."""
    code = ord(character)
    if 0xAC00 <= code <= 0xD7A3:
        return "LV" if (code - 0xAC00) % 28 == 0 else "LVT"
    if 0x1100 <= code <= 0x115F or 0xA960 <= code <= 0xA97C:
        return "L"
    if 0x1160 <= code <= 0x11A7 or 0xD7B0 <= code <= 0xD7C6:
        return "V"
    return "T" if 0x11A8 <= code <= 0x11FF or 0xD7CB <= code <= 0xD7FB else ""
