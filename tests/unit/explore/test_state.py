"""Every state of the page is a URL, and no URL is more than a state."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers import InvalidParameterError
from pixie_retrievers.explore.state import SearchState

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name.isprintable())
NUMBERS = st.integers(-1000, 1000).map(float)
VALUES = st.sampled_from(['"우주"', "2020", "true", "null", "1.5", '""'])
STATES = st.builds(
    SearchState,
    query=st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=50),
    k=st.integers(1, 50),
    equal=st.dictionaries(NAMES, VALUES, max_size=3),
    held=st.dictionaries(NAMES, VALUES, max_size=3),
    low=st.dictionaries(NAMES, NUMBERS, max_size=3),
    high=st.dictionaries(NAMES, NUMBERS, max_size=3),
    factors=st.dictionaries(st.integers(0, 50_000), st.sampled_from([0.0, 0.5, 2.0]), max_size=5),
)


def read(url):
    return SearchState.read(parse_qsl(urlsplit(url).query, keep_blank_values=True))


@given(STATES)
def test_a_state_comes_back_from_its_url(state):
    assert read(state.url()) == state
    assert read(state.url("/document", id="a&b=c")) == state


def test_the_conditions_become_a_filter():
    state = read('/?is.field="우주"&has.tags="위성"&min.year=2020&max.year=2024&is.empty=')
    assert state.filter == {
        "$and": [
            {"field": {"$eq": "우주"}},
            {"tags": {"$contains": "위성"}},
            {"year": {"$gte": 2020.0}},
            {"year": {"$lte": 2024.0}},
        ]
    }
    assert read("/?q=x").filter is None


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("k=0", "from 1 to 50"),
        ("k=nan", "from 1 to 50"),
        ("w=3", "must be a number"),
        ("w=3:99", "from 0 to 4"),
        ("w=-1:1", "must be a number"),
        ("is.a=[1]", "not a JSON text"),
        ("is.a=" + "[" * 5000, "not a JSON text"),
        ("min.a=inf", "must be a number"),
        ("&".join(f"is.f{i}=1" for i in range(30)), "too many"),
        ("w=" + ",".join(f"{i}:0" for i in range(300)), "too many"),
    ],
)
def test_what_is_not_a_state_is_refused(query, match):
    with pytest.raises(InvalidParameterError, match=match):
        read("/?" + query)


def test_a_long_query_is_cut():
    assert len(read("/?q=" + "a" * 9000).query) == 2000
