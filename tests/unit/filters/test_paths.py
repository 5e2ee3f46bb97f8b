"""Dotted paths into nested metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers.filters import MISSING, flatten, paths, resolve

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


names = st.text("ab.", max_size=5)
nested = st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(names, inner, max_size=5), max_leaves=20)


@given(metadata=st.dictionaries(names, nested, max_size=6), path=st.text("ab.", max_size=12))
def test_long_paths_lead_where_short_ones_do(metadata, path):
    with pytest.MonkeyPatch.context() as patch:
        found = resolve(metadata, path)
        patch.setattr(paths, "_SHORT", -1)
        assert resolve(metadata, path) is found
        assert all(resolve(metadata, every) is value for every, value in flatten(metadata).items())


def test_a_path_of_very_many_dots_costs_what_its_keys_do(monkeypatch):
    path = "a" + ".a" * 50_000
    metadata = {"b": 1}
    for _ in range(90):
        metadata = {"a": metadata, "a.a": 1, "c": 2}
    real, taken = paths._beginnings, []

    def beginnings(*arguments):
        for key in real(*arguments):
            taken.append(key)
            yield key

    monkeypatch.setattr(paths, "_beginnings", beginnings)
    assert resolve(metadata, path) is MISSING
    assert len(taken) == 180
    assert resolve({path: {path: 5}}, f"{path}.{path}") == 5
