"""Documents listed, counted, changed and removed by ids or by a filter."""

from __future__ import annotations

import pytest

from pixie_retrievers import Document, FilterError, InvalidDocumentError, InvalidParameterError, SparseRetriever

DOCUMENTS = [
    Document("moon", "달은 지구를 돈다.", {"field": "우주", "year": 2020, "tags": ["달", "지구", "달"]}),
    Document("rocket", "로켓이 위성을 쏜다.", {"field": "우주", "year": 2021, "author": {"name": "김"}}),
    Document("rice", "벼는 논에서 자란다.", {"field": "농업", "year": 2020, "tags": ["논"]}),
    Document("bread", "빵은 밀로 만든다.", {"field": None}),
]


@pytest.fixture
def retriever(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def test_ids_come_page_by_page_and_filtered(retriever):
    assert retriever.ids() == ["moon", "rocket", "rice", "bread"]
    assert retriever.ids(limit=2, offset=1) == ["rocket", "rice"]
    assert retriever.ids(filter={"year": 2020}, limit=5, offset=1) == ["rice"]
    assert retriever.ids(offset=4) == []
    for options in ({"limit": -1}, {"offset": -1}, {"offset": None}, {"limit": "2"}):
        with pytest.raises(InvalidParameterError, match="whole number of 0 or more"):
            retriever.ids(**options)


def test_counting_is_listing_without_the_list(retriever):
    for filter in (None, {}, {"year": 2020}, {"field": "없다"}, {"tags": {"$contains": "논"}}, lambda m: "year" in m):
        assert retriever.count(filter=filter) == len(retriever.ids(filter=filter))
    with pytest.raises(FilterError):
        retriever.count(filter={"year": {"$near": 1}})


def test_facets_count_values_the_most_common_first(retriever):
    assert list(retriever.facets("field").items()) == [("우주", 2), ("농업", 1), (None, 1)]
    assert retriever.facets("field", filter={"year": 2020}) == {"우주": 1, "농업": 1}
    assert retriever.facets("tags") == {"달": 1, "지구": 1, "논": 1}  # once a document
    assert retriever.facets("author.name") == {"김": 1}
    assert retriever.facets("author") == {}  # a dict is not a value
    assert retriever.facets("nowhere") == {}
    for field in ("field", "year"):
        for value, n in retriever.facets(field).items():
            assert retriever.count(filter={field: value}) == n


def test_metadata_changes_by_ids_by_a_filter_or_by_both_and_nothing_is_encoded(retriever, encoder, monkeypatch):
    vectors = retriever.index.vectors([one.id for one in DOCUMENTS])
    monkeypatch.setattr(encoder, "encode_documents", lambda *_, **__: pytest.fail("a text was encoded"))
    assert retriever.update_metadata({"seen": True}, ids=["rice", "rice", "nowhere"]) == 1
    assert retriever.update_metadata({"year": 2022, "new": [1]}, filter={"year": 2020}) == 2
    assert retriever.update_metadata({"both": 1}, ids=["moon", "rocket"], filter={"year": 2022}) == 1
    assert retriever.get(["rice", "moon"]) == [
        Document("rice", "벼는 논에서 자란다.", {**DOCUMENTS[2].metadata, "seen": True, "year": 2022, "new": [1]}),
        Document("moon", "달은 지구를 돈다.", {**DOCUMENTS[0].metadata, "year": 2022, "new": [1], "both": 1}),
    ]
    assert retriever.index.vectors([one.id for one in DOCUMENTS]) == vectors
    assert retriever.update_metadata(lambda metadata: {"was": sorted(metadata)}, filter={}) == 4
    assert retriever.get(["bread"])[0].metadata == {"was": ["field"]}
    assert retriever.update_metadata({"a": 1}, ids=[]) == 0


def test_changes_that_cannot_be_made_change_nothing(retriever):
    generation = retriever.index.stats().generation
    with pytest.raises(InvalidParameterError, match="changes is of type list"):
        retriever.update_metadata([("a", 1)], ids=["moon"])
    with pytest.raises(InvalidDocumentError, match="raised KeyError for document 'bread'") as caught:
        retriever.update_metadata(lambda metadata: {"year": metadata["year"]}, filter={})
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(InvalidDocumentError, match="returned NoneType for document 'moon'"):
        retriever.update_metadata(lambda metadata: metadata.update(a=1), ids=["moon"])
    with pytest.raises(InvalidDocumentError, match=r"metadata\['a'\]"):
        retriever.update_metadata({"a": {1}}, filter={})
    assert retriever.index.stats().generation == generation
    assert retriever.get(["moon"]) == DOCUMENTS[:1]


def test_documents_go_by_ids_by_a_filter_or_by_both(retriever):
    assert retriever.delete(["moon", "rice"], filter={"field": "농업"}) == 1
    assert retriever.ids() == ["moon", "rocket", "bread"]
    assert retriever.delete(filter={"field": "우주"}) == 2
    assert retriever.delete(id for id in ["bread", "nowhere"]) == 1
    assert retriever.delete(filter={}) == 0


def test_what_is_meant_must_be_said(retriever):
    for call in (retriever.delete, lambda: retriever.update_metadata({"a": 1})):
        with pytest.raises(InvalidParameterError, match="neither ids nor a filter"):
            call()
    for ids in ("moon", 5, [""], [None]):
        with pytest.raises(InvalidDocumentError):
            retriever.delete(ids)
    assert len(retriever) == 4


def test_a_function_that_raises_says_for_which_document(retriever):
    def recent(metadata):
        return metadata["year"] > 2020

    for call in (
        lambda: retriever.search("달", filter=recent),
        lambda: retriever.search("달", filter={"$not": {"$or": [recent, {"year": 1}]}}, ids=["bread", "moon"]),
        lambda: retriever.ids(filter=recent),
        lambda: retriever.count(filter=recent),
        lambda: retriever.delete(filter=recent),
        lambda: retriever.delete(["rice", "bread"], filter=recent),
        lambda: retriever.sync([DOCUMENTS[3]], filter=recent),
    ):
        with pytest.raises(FilterError, match=r"raised KeyError for document 'bread'.*metadata\.get") as caught:
            call()
        assert isinstance(caught.value.__cause__, KeyError)
    assert retriever.count() == 4
    assert retriever.ids(filter=lambda metadata: (metadata.get("year") or 0) > 2020) == ["rocket"]
