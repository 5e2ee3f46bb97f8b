"""What the model sees of a search, and what it may ask."""

from __future__ import annotations

import pytest
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode

from pixie_retrievers.errors import FilterError, InvalidParameterError
from pixie_retrievers.llama_index import PixieRetriever, create_search_tool
from pixie_retrievers.tools import citation

QUERY = "지구를 도는 위성"


class Fixed(BaseRetriever):
    """Returns what it was given, whatever is asked."""

    def __init__(self, nodes):
        super().__init__()
        self.nodes = nodes

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=node, score=1.0) for node in self.nodes]


@pytest.fixture
def retriever(nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        yield retriever


async def test_how_many_and_which_hold_whatever_the_retriever_is(retriever, nodes):
    for searched in (retriever, Fixed(nodes)):
        one = create_search_tool(searched, "s", "찾는다.", similarity_top_k=1)
        assert [hit.node_id for hit in one.call(QUERY).raw_output] == ["orbit"]
        some = create_search_tool(searched, "s", "찾는다.", filters={"year": 2023})
        for output in (some.call(input=QUERY), await some.acall(QUERY)):
            assert [hit.node_id for hit in output.raw_output] == ["rocket"]
        with pytest.raises(FilterError):
            create_search_tool(searched, "s", "찾는다.", filters={"year": {"$near": 1}})
        with pytest.raises(InvalidParameterError, match="similarity_top_k is 0"):
            create_search_tool(searched, "s", "찾는다.", similarity_top_k=0)
    both = create_search_tool(retriever.with_filters({"year": 2020}), "s", "찾는다.", filters={"field": "우주"})
    assert [hit.node_id for hit in both.call(QUERY).raw_output] == ["orbit"]


def test_metadata_are_shown_by_name_and_nodes_under_a_short_id(encoder):
    node = TextNode(text="위성", id_="0caa8d91-ac97-4d4d-ad55-96ee39bb2cbb", metadata={"title": "하나", "secret": 1})
    with PixieRetriever.from_nodes([node], encoder=encoder) as retriever:
        cited = citation(node.node_id)
        assert len(cited) == 8
        shown = create_search_tool(retriever, "s", "찾는다.", metadata_keys=["title", "nothing"])
        assert shown.call("위성").content == f"[{cited}] title: 하나\n위성"
        assert create_search_tool(retriever, "s", "찾는다.", metadata_keys=[]).call("위성").content == f"[{cited}] 위성"


async def test_arguments_that_the_model_made_up_are_refused(retriever):
    search = create_search_tool(retriever, "search", "찾는다.")
    for kwargs in ({"query": QUERY}, {"input": QUERY, "year": 2020}):
        with pytest.raises(TypeError, match="search takes one argument, input"):
            search.call(**kwargs)
        with pytest.raises(TypeError, match="search takes one argument, input"):
            await search.acall(**kwargs)
