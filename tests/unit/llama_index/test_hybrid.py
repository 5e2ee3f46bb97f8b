"""What is said to a hybrid retriever reaches its parts, and holds for those that do not understand it."""

from __future__ import annotations

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from pixie_retrievers.errors import FilterError, InvalidParameterError
from pixie_retrievers.llama_index import HybridRetriever, PixieRetriever

SPACE = MetadataFilters(filters=[MetadataFilter(key="field", value="우주")])
QUERY = "지구를 도는 위성"


class Fixed(BaseRetriever):
    """Returns what it was given, whatever is asked."""

    def __init__(self, nodes):
        super().__init__()
        self.nodes = nodes

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=node, score=1.0) for node in self.nodes]


@pytest.fixture
def sparse(nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder, similarity_top_k=1) as sparse:
        yield sparse


@pytest.fixture
def hybrid(sparse, nodes):
    return HybridRetriever({"sparse": sparse, "fixed": Fixed(nodes[::-1])}, similarity_top_k=4)


def ids(found):
    return [hit.node_id for hit in found]


async def test_filters_reach_every_part_and_hold_for_those_that_do_not_know_them(hybrid):
    assert ids(hybrid.with_options(filters=SPACE).retrieve(QUERY)) == ["orbit", "rocket"]
    assert ids(await hybrid.with_options(filters={"year": 2020}).aretrieve(QUERY)) == ["orbit", "rice"]
    assert ids(hybrid.with_options(filters=lambda metadata: "title" in metadata).retrieve(QUERY)) == ["bread"]
    assert len(hybrid.retrieve(QUERY)) == 4
    own = HybridRetriever(hybrid.retrievers, filters=SPACE)
    assert ids(own.retrieve(QUERY)) == ["orbit", "rocket"]
    with pytest.raises(FilterError):
        hybrid.with_options(filters={"year": {"$near": 1}})


def test_filters_of_a_part_stay_beside_those_of_a_call(nodes, sparse, encoder):
    dense = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))
    filters = MetadataFilters(filters=[MetadataFilter(key="year", value=2020)])
    for part in (
        sparse.with_options(filters=filters),
        dense.as_retriever(filters=filters),
        HybridRetriever([sparse], filters=filters),
    ):
        assert ids(HybridRetriever([part]).with_options(filters=SPACE).retrieve(QUERY)) == ["orbit"]


def test_how_many_are_asked_for_reaches_the_parts(nodes, sparse):
    dense = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4)).as_retriever(similarity_top_k=1)
    for part in (sparse, dense, HybridRetriever([sparse], similarity_top_k=1)):
        hybrid = HybridRetriever([part])
        assert len(hybrid.retrieve(QUERY)) == 1
        assert len(hybrid.with_options(similarity_top_k=2).retrieve(QUERY)) == 2
        assert len(hybrid.with_options(similarity_top_k=2).with_options(filters=SPACE).retrieve(QUERY)) == 2
        assert (part.similarity_top_k, hybrid.similarity_top_k) == (1, 2)


def test_a_threshold_reaches_the_parts_and_what_another_part_has_survives(hybrid, sparse):
    best = sparse.retrieve(QUERY)[0].score
    for threshold in (best + 1, {"sparse": best + 1}):
        found = hybrid.with_options(score_threshold=threshold).retrieve(QUERY)
        assert {hit.node.metadata["fusion_parts"]["sparse"]["rank"] for hit in found} == {None}
        assert len(found) == 4
    for threshold in (True, "2", {"other": 1}):
        with pytest.raises(InvalidParameterError, match="score_threshold"):
            hybrid.with_options(score_threshold=threshold)
    with pytest.raises(TypeError, match="'k'"):
        hybrid.with_options(k=3)
