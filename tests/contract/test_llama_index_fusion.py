"""LlamaIndex fuses and de-duplicates by node hash: explanations must not change what comes out."""

from __future__ import annotations

import pytest
from llama_index.core.llms import CompletionResponse, MockLLM
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import NodeWithScore, TextNode

from pixie_retrievers.llama_index import PixieRetriever

QUERY = "지구를 도는 위성"
TEXTS = [
    "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
    "로켓은 위성을 우주로 쏘아 올린다.",
    "달은 지구를 도는 하나뿐인 자연 위성이다.",
    "기상 위성은 태풍의 길을 지켜본다.",
    "벼는 물을 채운 논에서 자란다.",
]


class Dense(BaseRetriever):
    """Another retriever over the same nodes, as a vector index is one."""

    def __init__(self, nodes):
        super().__init__()
        self._nodes = nodes

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=node, score=1 / rank) for rank, node in enumerate(self._nodes, 1)]


@pytest.fixture(scope="module")
def nodes():
    return [TextNode(text=text, metadata={"쪽": page, "출처": "책"}) for page, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def pixie(nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder, similarity_top_k=4) as pixie:
        yield pixie


def fusion(retrievers, mode):
    # Not use_async: core's way to run that from synchronous code leaves an event loop unclosed.
    return QueryFusionRetriever(
        retrievers, llm=MockLLM(), mode=mode, num_queries=1, similarity_top_k=10, use_async=False
    )


def fused(retrievers, mode):
    return [(hit.node_id, hit.score) for hit in fusion(retrievers, mode).retrieve(QUERY)]


async def afused(retrievers, mode):
    return [(hit.node_id, hit.score) for hit in await fusion(retrievers, mode).aretrieve(QUERY)]


@pytest.mark.parametrize("mode", FUSION_MODES)
async def test_fusion_with_another_retriever_is_the_same_with_and_without_explanations(pixie, nodes, mode):
    dense = Dense([nodes[2], nodes[4], nodes[0]])
    silent = pixie.with_options(top_k_tokens=0)
    explained = fused([pixie, dense], mode)
    found = [node_id for node_id, _ in explained]
    assert len(found) == len(set(found)) == 5
    assert explained == fused([silent, dense], mode)
    assert explained == await afused([pixie, dense], mode) == await afused([silent, dense], mode)


@pytest.mark.parametrize("mode", FUSION_MODES)
def test_fusion_of_two_pixie_retrievers_joins_what_both_find(pixie, mode):
    shorter = pixie.with_options(similarity_top_k=2, top_k_tokens=3)
    explained = fused([pixie, shorter], mode)
    plain = fused([pixie.with_options(top_k_tokens=0), shorter.with_options(top_k_tokens=0)], mode)
    assert explained == plain
    assert len(explained) == len(pixie.retrieve(QUERY)) > 2


def test_reciprocal_ranks_add_up_over_both_retrievers(pixie, nodes):
    best = pixie.retrieve(QUERY)[0]
    found = dict(fused([pixie, Dense([node for node in nodes if node.node_id == best.node_id])], "reciprocal_rerank"))
    assert found[best.node_id] == pytest.approx(2 / 60)


@pytest.mark.parametrize("mode", FUSION_MODES)
async def test_fusion_of_several_queries_is_the_same_with_and_without_explanations(pixie, mode):
    class Rewording(MockLLM):
        def complete(self, prompt, formatted=False, **kwargs):
            return CompletionResponse(text="달과 지구\n기상 위성\n")

    def found(part):
        return QueryFusionRetriever(
            [part], llm=Rewording(), mode=mode, num_queries=3, similarity_top_k=10, use_async=False
        )

    silent = pixie.with_options(top_k_tokens=0)
    explained = found(pixie).retrieve(QUERY)
    assert [(hit.node_id, hit.score) for hit in explained] == [
        (hit.node_id, hit.score) for hit in found(silent).retrieve(QUERY)
    ]
    assert len(explained) == len({hit.node_id for hit in explained}) == 4
    assert all(hit.metadata["token_explanations"] for hit in explained)
    there = await found(pixie).aretrieve(QUERY)
    assert [(hit.node_id, hit.score) for hit in there] == [(hit.node_id, hit.score) for hit in explained]


def test_fused_nodes_keep_their_explanations(pixie, nodes):
    found = fusion([pixie, Dense(nodes[:0])], "reciprocal_rerank").retrieve(QUERY)
    assert found
    assert all(hit.metadata["token_explanations"] for hit in found)
