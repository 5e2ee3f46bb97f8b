"""TokenExplainer: nodes that others found, explained by the index, or by their texts where it lacks them."""

from __future__ import annotations

import copy

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from pixie_retrievers import SparseRetriever
from pixie_retrievers.errors import IndexNotFoundError, InvalidParameterError
from pixie_retrievers.llama_index import HybridRetriever, PixieRetriever, TokenExplainer

QUERY = "지구 궤도를 도는 위성"


class Counting:
    """The encoder, keeping what it encoded."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.calls = []

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_queries(self, texts):
        self.calls.append(("queries", list(texts)))
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts, *, show_progress=False):
        self.calls.append(("documents", list(texts)))
        return self._encoder.encode_documents(texts, show_progress=show_progress)


class Listing(BaseRetriever):
    """Returns its nodes, whatever is asked, as a dense retriever does."""

    def __init__(self, nodes):
        super().__init__()
        self._nodes = nodes

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=node, score=1 - n / 10) for n, node in enumerate(self._nodes)]


@pytest.fixture
def counting(encoder):
    return Counting(encoder)


@pytest.fixture
def pixie(nodes, counting):
    with PixieRetriever.from_nodes(nodes, encoder=counting, similarity_top_k=10) as retriever:
        counting.calls.clear()
        yield retriever


def test_nodes_of_another_retriever_get_the_explanation_that_ours_gives_and_keep_place_score_and_hash(pixie, nodes):
    ours = {hit.node_id: hit for hit in pixie.retrieve(QUERY)}
    dense = Listing(list(reversed(nodes))).retrieve(QUERY)
    before = copy.deepcopy(dense)
    explained = TokenExplainer(pixie).postprocess_nodes(dense, query_str=QUERY)
    assert [(hit.node_id, hit.score) for hit in explained] == [(hit.node_id, hit.score) for hit in dense]
    for hit, node in zip(explained, reversed(nodes), strict=True):
        found = ours.get(hit.node_id)
        assert hit.metadata["token_explanations"] == (found.metadata["token_explanations"] if found else [])
        assert hit.metadata["token_explanations_score"] == (found.score if found else 0.0)
        assert hit.node.hash == node.hash
        for mode in (MetadataMode.NONE, MetadataMode.LLM, MetadataMode.EMBED):
            assert hit.get_content(mode) == node.get_content(mode)
    assert dense == before
    assert pixie.add_nodes([explained[0].node]) == [nodes[-1].node_id]  # the notes stay out of the index
    assert pixie.get_nodes([nodes[-1].node_id]) == nodes[-1:]


def test_it_costs_one_query_and_one_batch_of_the_texts_that_the_index_lacks(pixie, nodes, counting, encoder):
    others = [TextNode(text="기상 위성은 구름을 본다."), TextNode(text="달은 지구를 돈다.")]
    explainer = TokenExplainer(pixie, top_k_tokens=None)
    explainer.postprocess_nodes(Listing(nodes).retrieve(QUERY), query_str=QUERY)
    assert counting.calls == [("queries", [QUERY])]
    counting.calls.clear()
    mixed = [NodeWithScore(node=node) for node in (others[0], nodes[0], others[1], nodes[0])]
    hits = explainer.postprocess_nodes(mixed, query_str=QUERY)
    assert counting.calls == [("queries", [QUERY]), ("documents", [node.text for node in others])]
    with PixieRetriever.from_nodes(others, encoder=encoder, similarity_top_k=2, top_k_tokens=None) as there:
        expected = {hit.node_id: hit for hit in there.retrieve(QUERY)}
    for hit in (hits[0], hits[2]):
        assert hit.metadata["token_explanations_score"] == pytest.approx(expected[hit.node_id].score, abs=1e-4)
        tokens = [one["token"] for one in hit.metadata["token_explanations"]]
        assert tokens == [one["token"] for one in expected[hit.node_id].metadata["token_explanations"]]
    assert hits[1].node == hits[3].node


@pytest.mark.parametrize("order", [1, -1])
def test_through_a_fusion_every_node_is_explained_whatever_the_order_of_its_parts(pixie, nodes, order):
    parts = [pixie, Listing(nodes)][::order]
    fusion = QueryFusionRetriever(parts, llm=MockLLM(), num_queries=1, use_async=False, similarity_top_k=10)
    hits = TokenExplainer(pixie).postprocess_nodes(fusion.retrieve(QUERY), query_str=QUERY)
    assert len(hits) == 4
    assert all("token_explanations" in hit.metadata for hit in hits)
    by_id = {hit.node_id: hit for hit in hits}
    assert by_id["orbit"].metadata["token_explanations_score"] == pixie.retrieve(QUERY)[0].score


def test_what_a_hybrid_retriever_said_stays_beside_it(pixie, nodes):
    hybrid = HybridRetriever({"sparse": pixie, "dense": Listing(nodes)}, similarity_top_k=10)
    for hit in TokenExplainer(pixie).postprocess_nodes(hybrid.retrieve(QUERY), query_str=QUERY):
        assert hit.metadata["fusion_parts"].keys() == {"sparse", "dense"}
        assert "token_explanations" in hit.metadata


async def test_it_explains_what_a_query_transform_wrote_and_does_so_asynchronously(pixie, nodes):
    bundle = QueryBundle(QUERY, custom_embedding_strs=["벼 논"])
    dense = Listing(nodes).retrieve(QUERY)
    hits = await TokenExplainer(pixie).apostprocess_nodes(dense, query_bundle=bundle)
    assert [hit.node_id for hit in hits if hit.metadata["token_explanations"]] == ["rice"]
    assert hits == TokenExplainer(pixie).postprocess_nodes(dense, query_bundle=bundle)


def test_without_a_query_or_with_a_wrong_setting_it_says_what_is_missing(pixie, nodes):
    with pytest.raises(InvalidParameterError, match="query_str or query_bundle"):
        TokenExplainer(pixie).postprocess_nodes([NodeWithScore(node=nodes[0])])
    with pytest.raises(InvalidParameterError, match="top_k_tokens"):
        TokenExplainer(pixie, top_k_tokens=-1)
    assert TokenExplainer(pixie).postprocess_nodes([], query_str=QUERY) == []


def test_it_closes_what_it_opened_and_nothing_else(nodes, encoder, tmp_path):
    with pytest.raises(IndexNotFoundError):
        TokenExplainer(tmp_path / "corpus.db", encoder=encoder)
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as sparse_retriever:
        PixieRetriever(sparse_retriever).add_nodes(nodes)
        dense = Listing(nodes).retrieve(QUERY)
        with TokenExplainer(sparse_retriever) as explainer, TokenExplainer(tmp_path / "corpus.db") as other:
            expected = explainer.postprocess_nodes(dense, query_str=QUERY)
            assert other.postprocess_nodes(dense, query_str=QUERY) == expected
            assert explainer.to_dict() == {"class_name": "TokenExplainer", "top_k_tokens": 10}
        assert len(sparse_retriever) == 4
