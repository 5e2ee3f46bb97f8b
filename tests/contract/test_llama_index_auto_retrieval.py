"""LlamaIndex's auto-retriever over our store: a model reads what there is, and writes words and filters."""

from __future__ import annotations

import json

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.retrievers import VectorIndexAutoRetriever
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from pixie_retrievers.errors import FilterError, InvalidParameterError
from pixie_retrievers.llama_index import PixieVectorStore, SparseOnly, vector_store_info

FIELDS = {"year": "발행 연도", "field": "분야", "tags": "주제"}


class ScriptedLLM(CustomLLM):
    """Writes what it was told to, and keeps the prompts that it read."""

    written: str
    prompts: list[str] = Field(default_factory=list)

    @property
    def metadata(self):
        return LLMMetadata()

    def complete(self, prompt, formatted=False, **kwargs):
        self.prompts.append(prompt)
        return CompletionResponse(text=self.written)

    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield self.complete(prompt)


@pytest.fixture
def store(encoder):
    rows = [
        ("a", "인공위성은 지구 궤도를 돈다.", 2020, "우주", ["위성", "지구"]),
        ("b", "로켓은 위성을 쏘아 올린다.", 2023, "우주", ["발사"]),
        ("c", "위성 자료로 벼농사를 돕는다.", 2023, "농업", []),
    ]
    with PixieVectorStore(encoder=encoder) as store:
        store.add(
            TextNode(
                id_=id,
                text=text,
                metadata={"year": year, "field": field, "tags": tags},
                excluded_embed_metadata_keys=list(FIELDS),
            )
            for id, text, year, field, tags in rows
        )
        yield store


def retriever_over(store, query, *filters, top_k=None, **options):
    """An auto-retriever whose model writes this, as key, operator and value."""
    written = {
        "query": query,
        "filters": [{"key": key, "operator": operator, "value": value} for key, operator, value in filters],
        "top_k": top_k,
    }
    llm = ScriptedLLM(written=json.dumps(written, ensure_ascii=False))
    index = VectorStoreIndex.from_vector_store(store, embed_model=SparseOnly())
    info = vector_store_info(store, "기사", FIELDS)
    return VectorIndexAutoRetriever(index, info, llm=llm, similarity_top_k=3, **options), llm


def ids(hits):
    return [hit.node_id for hit in hits]


async def test_the_model_reads_the_fields_and_its_words_and_filters_are_searched(store):
    retriever, llm = retriever_over(store, "위성", ("year", ">=", 2021), ("field", "==", "우주"))
    (hit,) = retriever.retrieve("2021년부터의 우주 기사에서 위성을 찾아 줘")
    assert hit.node_id == "b"
    assert hit.metadata["token_explanations"]
    assert "발행 연도. One of: " in llm.prompts[0]
    assert '분야. One of: \\"우주\\", \\"농업\\".' in llm.prompts[0]
    assert ids(await retriever.aretrieve("무엇이든")) == ["b"]


def test_the_index_says_the_types(store):
    info = vector_store_info(store, "기사", FIELDS)
    assert [(one.name, one.type) for one in info.metadata_info] == [
        ("year", "integer"),
        ("field", "string"),
        ("tags", "list[string]"),
    ]
    assert info.content_info == "기사"
    with pytest.raises(InvalidParameterError, match="'author'"):
        vector_store_info(store.sparse_retriever, "기사", {"author": "지은이"})


@pytest.mark.parametrize(
    ("operator", "key", "value", "expected"),
    [
        ("==", "year", 2020, "a"),
        ("!=", "year", 2020, "bc"),
        (">", "year", 2020, "bc"),
        ("<", "year", 2023, "a"),
        ("<=", "year", 2023, "abc"),
        ("in", "field", ["농업"], "c"),
        ("nin", "field", ["농업"], "ab"),
        ("contains", "tags", "지구", "a"),
        ("any", "tags", ["지구", "발사"], "ab"),
        ("all", "tags", ["지구", "위성"], "a"),
        ("text_match", "field", "우", "ab"),
        ("text_match_insensitive", "field", "우", "ab"),
        ("is_empty", "tags", None, "c"),
    ],
)
def test_every_operator_that_a_model_may_write_is_understood(store, operator, key, value, expected):
    retriever, _ = retriever_over(store, "위성", (key, operator, value))
    assert sorted(ids(retriever.retrieve("무엇이든"))) == list(expected)


def test_no_operator_of_llama_index_is_left_out(request):
    of_this_file = request.node.parent.obj.test_every_operator_that_a_model_may_write_is_understood
    (mark,) = of_this_file.pytestmark
    assert {case[0] for case in mark.args[1]} | {">="} == {operator.value for operator in FilterOperator}


def test_a_filter_without_words_lists_what_passes_as_many_as_are_asked_for(store):
    retriever, _ = retriever_over(store, "", ("year", ">", 2000))
    assert ids(retriever.retrieve("모두")) == ["a", "b", "c"]
    retriever, _ = retriever_over(store, "", ("year", ">", 2000), top_k=2)
    assert ids(retriever.retrieve("둘만")) == ["a", "b"]


def test_a_wall_holds_beside_the_filters_of_the_model(store):
    wall = MetadataFilters(filters=[MetadataFilter(key="field", value="우주")])
    retriever, _ = retriever_over(store, "위성", ("year", "==", 2023), extra_filters=wall)
    assert ids(retriever.retrieve("무엇이든")) == ["b"]


def test_what_the_model_wrote_wrongly_is_refused_in_words(store):
    retriever, _ = retriever_over(store, "위성", ("year", "in", "2023"))
    with pytest.raises(FilterError, match="'year'"):
        retriever.retrieve("무엇이든")
