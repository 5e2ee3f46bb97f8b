"""How many documents have each value, told by columns, against documents that are read one by one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixie_retrievers import Document, FilterError, SparseVectors, SqliteIndex
from pixie_retrievers.filters import parse_filter, values_at

NUMBERS = st.sampled_from(
    [0, 1, 2020, 0.0, -0.0, 1.0, 2020.0, 0.5, True, False, 2**60, 2**53 + 1, 10**20, 10**30 + 1, -3]
)
SCALARS = st.none() | NUMBERS | st.sampled_from(["", "위성", "벼", "긴 글 " * 50, "1"])
LISTS = st.lists(SCALARS, max_size=5) | st.just(list(range(300)))
VALUES = SCALARS | LISTS | st.just({"in": 1}) | st.just([["nested"], "위성", {"a": 1}])
ROWS = st.lists(
    st.fixed_dictionaries({}, optional={"f": VALUES, "g": st.sampled_from([1, 2]), "h": st.just({"f": 1.0})}),
    max_size=12,
)


def store(index, rows, first):
    documents = [Document(f"d{first + n}", "글", row) for n, row in enumerate(rows)]
    index.upsert(documents, SparseVectors.from_dicts([{1: 1.0}] * len(rows), 10))


def typed(counts):
    return {(type(value), value): n for value, n in counts.items()}


@settings(max_examples=60)
@given(
    groups=st.lists(ROWS, min_size=1, max_size=3),
    gone=st.sets(st.integers(0, 20)),
    filter=st.sampled_from([None, {"g": 1}]),
)
def test_columns_count_what_documents_hold(tmp_path_factory, groups, gone, filter):
    with SqliteIndex(tmp_path_factory.mktemp("facets") / "x.db", vocabulary_size=10, fingerprint="x") as index:
        first = 0
        for rows in groups:
            if rows:
                store(index, rows, first)
            first += len(rows)
        if first:
            index.delete([f"d{n}" for n in gone])
        condition = parse_filter({} if filter is None else filter)
        for field in ("f", "h.f", "h", "nothing", "_own.f"):
            expected = Counter()
            for document in index.get(index.ids()) if first else []:
                if condition.passes(document.id, document.metadata):
                    expected.update(values_at(document.metadata, field))
            found = index.facets(field, filter=filter)
            assert typed(found) == typed(expected)
            assert list(found.values()) == sorted(expected.values(), reverse=True)


def test_of_values_as_common_as_each_other_the_first_comes_first(tmp_path):
    with SqliteIndex(tmp_path / "x.db", vocabulary_size=10, fingerprint="x") as index:
        assert index.facets("f") == {}
        store(index, [{"f": value} for value in ("나", "가", 3, "나", None)], 0)
        store(index, [{"f": value} for value in ("다", "가")], 5)
        assert list(index.facets("f").items()) == [("나", 2), ("가", 2), (3, 1), (None, 1), ("다", 1)]
        with pytest.raises(FilterError):
            index.facets("f", filter={"f": {"$near": 1}})


def test_a_field_without_a_column_is_counted_by_documents(tmp_path):
    with SqliteIndex(tmp_path / "x.db", vocabulary_size=10, fingerprint="x") as index:
        store(index, [{f"f{n}": n for n in range(200)} | {"rare": True}, {f"f{n}": n for n in range(200)}], 0)
        assert index.facets("rare") == {True: 1}
        assert index.facets("f3") == {3: 2}
        assert index.facets("nothing") == {}
