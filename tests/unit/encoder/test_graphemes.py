"""Code points that a person sees as one character stay together."""

from __future__ import annotations

import unicodedata

import pytest
import regex
from characters import FAMILY, PARTS
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers.encoder.graphemes import Graphemes


def characters(text):
    """The text in the pieces that Graphemes keeps whole."""
    graphemes, found, position = Graphemes(text), [], 0
    while position < len(text):
        start, stop = graphemes.whole(position, position + 1)
        assert start == position
        found.append(text[start:stop])
        position = stop
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("위성", ["위", "성"]),
        (unicodedata.normalize("NFD", "위성"), [unicodedata.normalize("NFD", c) for c in "위성"]),
        (f"a{FAMILY}b", ["a", FAMILY, "b"]),
        ("cafe\u0301s", ["c", "a", "f", "e\u0301", "s"]),
        ("a\r\nb", ["a", "\r\n", "b"]),
        ("\U0001f1f0\U0001f1f7\U0001f1ef\U0001f1f5", ["\U0001f1f0\U0001f1f7", "\U0001f1ef\U0001f1f5"]),
    ],
)
def test_a_text_comes_apart_where_a_person_would_take_it_apart(text, expected):
    assert characters(text) == expected


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_the_boundaries_are_unicodes(text):
    assert characters(text) == regex.findall(r"\X", text)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), st.data())
def test_a_range_is_widened_to_the_characters_that_it_touches(text, data):
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    low, high = Graphemes(text).whole(start, stop)
    bounds, position = [0], 0
    for character in characters(text):
        position += len(character)
        bounds.append(position)
    if start == stop:
        assert (low, high) == (start, stop)
    else:
        assert (low, high) == (max(b for b in bounds if b <= start), min(b for b in bounds if b >= stop))


def test_a_character_of_a_million_code_points_is_asked_about_in_no_time():
    text = "e" + "\u0301" * 200_000
    graphemes = Graphemes(text)
    assert all(graphemes.whole(n, n + 1) == (0, len(text)) for n in range(0, len(text), 10))
