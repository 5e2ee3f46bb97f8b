"""Indexed fields: the same filter gives the same documents, with columns as without."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixie_retrievers import Document, SparseVectors, SqliteIndex

values = st.one_of(
    st.integers(-3, 3), st.booleans(), st.none(), st.sampled_from(["우주", "농업", ""]), st.floats(-2, 2, width=16),
    st.lists(st.sampled_from(["가", "나"]), max_size=2), st.dictionaries(st.just("x"), st.integers(0, 1)),
)  # fmt: skip
FIELDS = ("a", "b", "이름")
metadata = st.dictionaries(st.sampled_from(FIELDS), values)
tests = st.one_of(
    values.filter(lambda value: not isinstance(value, dict)),
    st.builds(lambda v: {"$ne": v}, values),
    st.builds(lambda v: {"$gte": v}, st.integers(-2, 2)),
    st.builds(lambda v: {"$in": v}, st.lists(values, max_size=3)),
    st.builds(lambda v: {"$exists": v}, st.booleans()),
    st.builds(lambda v: {"$contains": v}, st.sampled_from(["가", "우"])),
)
filters = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), tests, max_size=2),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=4,
)
ONE = SparseVectors.from_dicts([{0: 1.0}], 2)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batches=st.lists(st.lists(metadata, min_size=1, max_size=5), min_size=1, max_size=10),
    deleted=st.sets(st.integers(0, 30), max_size=8),
    asked=st.lists(filters, min_size=1, max_size=4),
    indexed=st.lists(st.sampled_from(FIELDS), unique=True, min_size=1),
    indexed_after=st.integers(0, 10),
)
def test_an_indexed_field_changes_no_result(batches, deleted, asked, indexed, indexed_after):
    with TemporaryDirectory() as folder:
        found = []
        for name, fields in (("plain", []), ("indexed", indexed)):
            with SqliteIndex(f"{folder}/{name}.db", vocabulary_size=2) as index:
                n = 0
                for position, batch in enumerate(batches):
                    if position == indexed_after:
                        for field in fields:
                            index.index_field(field)
                    documents = [Document(f"d{n + i}", "", content) for i, content in enumerate(batch)]
                    index.upsert(documents, SparseVectors.from_dicts([{0: 1.0}] * len(batch), 2))
                    n += len(batch)
                for field in fields:
                    index.index_field(field)
                index.delete([f"d{i}" for i in sorted(deleted)])
                results = [[hit.document for hit in index.search(ONE, 100, filter=filter)[0]] for filter in asked]
                index.compact()
                again = [[hit.document for hit in index.search(ONE, 100, filter=filter)[0]] for filter in asked]
                assert again == results
                assert index.stats().indexed_fields == tuple(dict.fromkeys(index.stats().indexed_fields))
                assert index.check().sound
                found.append(results)
        assert found[0] == found[1]
