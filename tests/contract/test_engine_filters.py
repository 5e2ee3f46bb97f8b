"""Whatever ids, keys and values are made of, every engine finds what the embedded one finds."""

from __future__ import annotations

import random

import pytest
from engines.fixtures import new_index, server_engines
from vectors import random_vectors

from pixie_retrievers import Document, SparseVectors, SqliteIndex

N_DOCUMENTS, N_FILTERS = 200, 100
NASTY = [
    '"', "'", "\\", "\\\\", '\\"', "\x00", "a\x00b", "\x01\x1f\x7f", "\n\r\t", "\u2028", "🙂", "👩‍🚀", "한글", "İ", "ß",
    "'] or key not in ['", '"] or true or f == ["', "*", "%", "_", "?", "{", "}", "[", "]", "(", ")", "$", "${x}",
    "//", "/*", "null", "true", "1", "1.0", "-", "--", ";", "a.b", ".", "..", "..a", " ", "  x  ", "x" * 31, "x" * 255,
    "\ufeff", "\uffff", "2024-05-01", "2024-05-01T09:30:00+09:00", "2024-05-01T09:30:00+09:01",
]  # fmt: skip
LONG = ["x" * 200_000, "가" * 200_000, "x" * 199_999 + "y", '"\\\x00' * 70_000]
NUMBERS = [0, -0.0, 1, True, False, 0.1, -0.1, 0.1 + 2**-55, 1e300, -1e300, 5e-324, 2**53, 2**53 + 1, -(2**63), 2**1023]
FIELDS = ["a", "a.b", '"', "\\", "'] or", "\x00", "🙂", "", ".", "이름", "x" * 300]


@pytest.fixture(params=server_engines())
def pair(request, tmp_path):
    """The embedded index, and another engine's."""
    options = {"vocabulary_size": 200, "fingerprint": "model-1"}
    with SqliteIndex(tmp_path / "index.db", **options) as index, new_index(request, **options) as other:
        yield index, other


def value(rng, depth=0):
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(NASTY)
    if kind < 0.7:
        return rng.choice(NUMBERS)
    if kind < 0.75:
        return None
    if kind < 0.76:
        return rng.choice(LONG)
    if depth < 2 and kind < 0.9:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(FIELDS): value(rng, depth + 1) for _ in range(2)} if depth < 2 else 7


def random_documents(rng):
    ids = dict.fromkeys([*NASTY, *LONG])
    while len(ids) < N_DOCUMENTS:
        ids["".join(rng.choices(NASTY, k=rng.randrange(1, 5)))] = None
    for id in list(ids)[:N_DOCUMENTS]:
        yield Document(id, rng.choice(NASTY), {rng.choice(FIELDS): value(rng) for _ in range(4)})


def some_filter(rng, documents, depth=0):
    if depth < 3 and rng.random() < 0.4:
        parts = [some_filter(rng, documents, depth + 1) for _ in range(rng.randrange(1, 4))]
        return rng.choice([{"$and": parts}, {"$or": parts}, {"$not": parts[0]}])
    field = rng.choice([*FIELDS, "a.a", "이름.\x00", "nowhere"])
    there = [document.metadata[field] for document in documents if field in document.metadata]
    one = rng.choice(there) if there and rng.random() < 0.7 else value(rng)
    ordered = one if isinstance(one, (str, int, float)) else rng.choice(NASTY + NUMBERS)
    text = one if isinstance(one, str) else rng.choice(NASTY)
    inside = rng.choice(one) if isinstance(one, list) and one else one
    operand = {
        "$in": [one, value(rng), rng.choice(NASTY)],
        "$nin": [one, rng.choice(NUMBERS)],
        "$exists": rng.random() < 0.5,
        "$contains": inside,
        "$text": text[:5],
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), ordered),
    }
    operator = rng.choice(["$eq", "$ne", *operand])
    return {field: {operator: operand.get(operator, one)}}


def test_hostile_documents_and_filters_are_answered_as_by_the_embedded_engine(pair):
    rng = random.Random(7)
    documents = list(random_documents(rng))
    vectors = random_vectors(N_DOCUMENTS, seed=3)
    query = SparseVectors.from_dicts([dict.fromkeys(range(12), 1.0)], 200)
    for index in pair:
        index.upsert(documents, vectors)
    embedded, other = pair
    assert other.get([document.id for document in documents]) == documents
    n_telling = 0
    for _ in range(N_FILTERS):
        filter = some_filter(rng, documents)
        found = embedded.ids(filter=filter)
        assert other.ids(filter=filter) == found
        assert other.search(query, 10, filter=filter) == embedded.search(query, 10, filter=filter)
        n_telling += 0 < len(found) < N_DOCUMENTS
    assert n_telling > N_FILTERS / 2  # else this would hold little
    some = [document.id for document in documents[::3]]
    assert other.search(query, 10, ids=some) == embedded.search(query, 10, ids=some)
    assert other.delete(some) == len(some)
    embedded.delete(some)
    assert other.ids() == embedded.ids()


def test_texts_of_any_length_come_back(pair):
    _, other = pair
    lengths = [0, 16_383, 16_384, 65_536, 200_000, 3_000_000]
    documents = [Document(f"d{n}", ("글🙂\x00" * n)[:n], {"text": "\\" * n}) for n in lengths]
    other.upsert(documents, random_vectors(len(lengths)))
    assert other.get([document.id for document in documents]) == documents
    assert {hit.document.id for hit in other.search(random_vectors(1), 10)[0]} <= set(other.ids())


def test_a_filter_of_thousands_of_values_and_one_of_many_levels(pair):
    documents = [Document(f"d{n}", "", {"n": n, "s": str(n)}) for n in range(60)]
    deep = {"n": {"$gte": 30}}
    for n in range(30):
        deep = {"$or": [{"$and": [deep, {"s": {"$exists": True}}]}, {"n": n if n % 2 else -1}]}
    filters = [
        {"n": {"$in": list(range(50, 5000))}},
        {"s": {"$nin": [str(n) for n in range(5000) if n % 7]}},
        {"$or": [{"n": {"$gte": n, "$lt": n + 0.5}} for n in range(10, 400)]},
        deep,
        {"$not": deep},
    ]
    for index in pair:
        index.upsert(documents, random_vectors(60))
    for filter in filters:
        assert pair[1].ids(filter=filter) == pair[0].ids(filter=filter)
        assert len(pair[0].ids(filter=filter)) > 0
