"""Dotted paths into nested metadata."""

from __future__ import annotations

import pytest

from pixie_retrievers.filters import MISSING, flatten, resolve

NESTED = {
    "a": {"b": 1, "c": {"d": 2}, "b.e": 3},
    "a.b": {"f": 4},
    "a.c": "a key with a dot",
    "": {"": 5},
    "list": [{"a": 1}],
    "_own": {"x": 6},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", NESTED["a"]),
        ("a.b", {"f": 4}),
        ("a.c", "a key with a dot"),
        ("a.c.d", 2),
        ("a.b.e", 3),
        ("a.b.f", 4),
        (".", 5),
        ("", {"": 5}),
        ("_own.x", 6),
        ("a.d", MISSING),
        ("a.", MISSING),
        (".a", MISSING),
        ("list.a", MISSING),
        ("a.b.f.g", MISSING),
    ],
)
def test_the_longest_literal_key_that_leads_anywhere_wins(path, value):
    found = resolve(NESTED, path)
    assert found is value if value is MISSING else found == value


def test_flattening_lists_every_path_with_what_it_leads_to():
    flat = flatten(NESTED)
    assert all(resolve(NESTED, path) is value for path, value in flat.items())
    assert set(flat) == {"a", "a.b", "a.c", "a.c.d", "a.b.e", "a.b.f", "", ".", "list", "_own"}


def test_flat_metadata_is_its_own_flattening():
    metadata = {"a": 1, "b.c": [1]}
    assert flatten(metadata) is metadata
