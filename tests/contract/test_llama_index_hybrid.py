"""HybridRetriever over a Pixie retriever and LlamaIndex's own dense one, and inside LlamaIndex's machinery."""

from __future__ import annotations

import asyncio
import copy
import json

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from pixie_retrievers.errors import InvalidParameterError, PixieWarning
from pixie_retrievers.llama_index import HybridRetriever, PixieRetriever

QUERY = "지구를 도는 위성"
TEXTS = [
    "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
    "로켓은 위성을 우주로 쏘아 올린다.",
    "달은 지구를 도는 하나뿐인 자연 위성이다.",
    "벼는 물을 채운 논에서 자란다.",
]


class Letters(BaseEmbedding):
    """A dense embedding of a kind: how often each of some letters occurs."""

    letters: str = "지구도는위성달로켓벼논물"

    def _get_text_embedding(self, text):
        return [1e-3 + text.count(letter) for letter in self.letters]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


class Fixed(BaseRetriever):
    """Returns what it was given, whatever is asked."""

    def __init__(self, hits):
        super().__init__()
        self.hits = hits

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=node, score=score) for node, score in self.hits]


@pytest.fixture(scope="module")
def nodes():
    return [TextNode(id_=f"n{n}", text=text, metadata={"쪽": n, "목록": [n]}) for n, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def sparse(nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder, similarity_top_k=3) as retriever:
        yield retriever


@pytest.fixture(scope="module")
def dense(nodes):
    return VectorStoreIndex(nodes, embed_model=Letters()).as_retriever(similarity_top_k=3)


def pairs(found):
    return [(hit.node_id, hit.score) for hit in found]


class TestJoining:
    @pytest.mark.parametrize(
        "options",
        [{}, {"weights": {"sparse": 2, "dense": 1}}, {"method": "weighted"}, {"method": "weighted", "weights": [3, 1]}],
    )
    async def test_every_parts_rank_score_and_tokens_are_kept_and_sum_to_the_score(self, sparse, dense, options):
        hybrid = HybridRetriever({"sparse": sparse, "dense": dense}, similarity_top_k=4, **options)
        found = hybrid.retrieve(QUERY)
        assert pairs(found) == pairs(await hybrid.aretrieve(QUERY))
        here = {
            "sparse": {hit.node_id: (rank, hit) for rank, hit in enumerate(sparse.retrieve(QUERY), 1)},
            "dense": {hit.node_id: (rank, hit) for rank, hit in enumerate(dense.retrieve(QUERY), 1)},
        }
        assert {hit.node_id for hit in found} == here["sparse"].keys() | here["dense"].keys()
        assert len(found) == len({hit.node_id for hit in found})
        for hit in found:
            parts = hit.metadata["fusion_parts"]
            assert list(parts) == ["sparse", "dense"]
            assert hit.score == pytest.approx(sum(part["contribution"] for part in parts.values()))
            for name, part in parts.items():
                rank, alone = here[name].get(hit.node_id, (None, None))
                assert (part["rank"], part["score"]) == (rank, alone and alone.score)
                assert part.get("token_explanations") == (
                    alone.metadata["token_explanations"] if name == "sparse" and alone else None
                )
            json.dumps(parts)

    def test_reciprocal_ranks_are_summed(self, nodes):
        first, second = Fixed([(nodes[0], 9), (nodes[1], 8)]), Fixed([(nodes[1], None), (nodes[2], None)])
        found = HybridRetriever([first, second], rank_constant=0, similarity_top_k=3).retrieve(QUERY)
        assert pairs(found) == [("n1", 1.5), ("n0", 1.0), ("n2", 0.5)]
        assert list(found[0].metadata["fusion_parts"]) == ["Fixed", "Fixed 2"]

    def test_nodes_are_the_same_by_id_whatever_their_metadata(self, sparse, nodes):
        changed = nodes[0].model_copy(update={"metadata": {"쪽": "다른 값"}})
        found = HybridRetriever({"sparse": sparse, "other": Fixed([(changed, 1.0)])}).retrieve(QUERY)
        assert [hit.node_id for hit in found].count("n0") == 1

    def test_at_most_top_k_nodes_come_back_and_two_unless_told_otherwise(self, sparse, dense):
        assert len(HybridRetriever([sparse, dense]).retrieve(QUERY)) == 2
        assert len(HybridRetriever([sparse, dense], similarity_top_k=1).retrieve(QUERY)) == 1
        with pytest.raises(InvalidParameterError, match="similarity_top_k is True"):
            HybridRetriever([sparse], similarity_top_k=True)

    def test_parts_are_left_as_they_are(self, sparse, nodes):
        given = [(copy.deepcopy(node), 1.0) for node in nodes]
        hybrid = HybridRetriever({"other": Fixed(given), "sparse": sparse}, similarity_top_k=4)
        hybrid.retrieve(QUERY)[0].node.metadata["쪽"] = "새 값"
        assert [node for node, _ in given] == nodes
        assert hybrid.retrieve(QUERY)[0].metadata["쪽"] != "새 값"

    def test_a_part_that_is_a_hybrid_itself_keeps_its_parts(self, sparse, dense):
        inner = HybridRetriever({"sparse": sparse, "dense": dense}, similarity_top_k=3)
        hit = HybridRetriever({"inner": inner, "sparse": sparse}).retrieve(QUERY)[0]
        assert hit.metadata["fusion_parts"]["inner"]["fusion_parts"]["sparse"]["token_explanations"]

    def test_each_part_has_a_query_of_its_own(self, nodes):
        class Marking(Fixed):
            def _retrieve(self, query_bundle):
                assert query_bundle.embedding is None
                query_bundle.embedding = [1.0]
                return super()._retrieve(query_bundle)

        bundle = QueryBundle(QUERY)
        assert HybridRetriever([Marking([(nodes[0], 1)]), Marking([(nodes[0], 1)])]).retrieve(bundle)
        assert bundle.embedding is None

    async def test_the_parts_are_asked_at_the_same_time(self, nodes):
        both = [asyncio.Event(), asyncio.Event()]

        class Meeting(Fixed):
            def __init__(self, hits, mine, other):
                super().__init__(hits)
                self.mine, self.other = mine, other

            async def _aretrieve(self, query_bundle):
                self.mine.set()
                await asyncio.wait_for(self.other.wait(), 600)  # each waits until the other has begun
                return self._retrieve(query_bundle)

        hybrid = HybridRetriever([Meeting([(nodes[0], 1)], *both), Meeting([(nodes[1], 1)], *both[::-1])])
        assert len(await hybrid.aretrieve(QUERY)) == 2

    def test_what_cannot_be_joined_is_refused(self, sparse, dense):
        for retrievers, options, match in (
            ([], {}, "no retrievers"),
            ({"a": sparse, "b": "dense"}, {}, "'b' is of type str"),
            ([sparse, dense], {"method": "sum"}, "method"),
            ([sparse, dense], {"weights": [1]}, "weights"),
            ([sparse, dense], {"similarity_top_k": 0}, "similarity_top_k"),
        ):
            with pytest.raises(InvalidParameterError, match=match):
                HybridRetriever(retrievers, **options)
        with pytest.raises(InvalidParameterError, match="no score"):
            HybridRetriever([Fixed([(TextNode(text="글"), None)])], method="weighted").retrieve(QUERY)


class TestInsideLlamaIndex:
    @pytest.fixture
    def hybrid(self, sparse, dense):
        return HybridRetriever({"sparse": sparse, "dense": dense}, similarity_top_k=4)

    def test_parts_stay_out_of_prompts_embeddings_and_hashes(self, hybrid, nodes):
        by_id = {node.node_id: node for node in nodes}
        for hit in hybrid.retrieve(QUERY):
            assert hit.node.hash == by_id[hit.node_id].hash
            for mode in (MetadataMode.LLM, MetadataMode.EMBED):
                assert hit.node.get_content(mode) == by_id[hit.node_id].get_content(mode)

    def test_a_query_engine_answers_without_them_and_sources_have_them(self, hybrid):
        response = RetrieverQueryEngine.from_args(hybrid, llm=MockLLM()).query(QUERY)
        assert TEXTS[0] in str(response)
        assert "fusion_parts" not in str(response)
        assert all(hit.metadata["fusion_parts"] for hit in response.source_nodes)

    async def test_another_fusion_sees_the_same_nodes(self, hybrid, sparse, dense):
        def fusion(*retrievers):
            return QueryFusionRetriever(
                list(retrievers),
                llm=MockLLM(),
                mode="reciprocal_rerank",
                num_queries=1,
                use_async=False,
                similarity_top_k=9,
            )

        found = fusion(hybrid, sparse, dense).retrieve(QUERY)
        assert len(found) == len({hit.node_id for hit in found}) == len(hybrid.retrieve(QUERY))
        assert pairs(await fusion(hybrid, sparse, dense).aretrieve(QUERY)) == pairs(found)
        best = max(found, key=lambda hit: hit.score)
        ranks = [[hit.node_id for hit in part.retrieve(QUERY)].index(best.node_id) for part in (hybrid, sparse, dense)]
        assert best.score == pytest.approx(sum(1 / (60 + rank) for rank in ranks))

    def test_found_nodes_can_be_indexed_again(self, hybrid, encoder, nodes):
        found = hybrid.retrieve(QUERY)
        with PixieRetriever.from_nodes([hit.node for hit in found], encoder=encoder) as again:
            by_id = {node.node_id: node for node in nodes}
            for node in again.get_nodes([hit.node_id for hit in found]):
                assert node == by_id[node.node_id]


def test_parts_that_cut_documents_for_themselves_are_warned_of_once():
    parts = {
        name: Fixed([(TextNode(id_=f"{name}-{n}", text=text), 1.0) for n, text in enumerate(TEXTS)]) for name in "ab"
    }
    hybrid = HybridRetriever(parts, similarity_top_k=9)
    with pytest.warns(PixieWarning, match="'a' and 'b' found the same text under different ids.*the same nodes"):
        assert len(hybrid.retrieve(QUERY)) == 8
    assert len(hybrid.retrieve(QUERY)) == 8
