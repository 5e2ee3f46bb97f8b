"""A retriever is handed to another process, or copied: the file is opened again, a copy shares the handle."""

from __future__ import annotations

import copy
import pickle

from pixie_retrievers.llama_index import HybridRetriever, PixieRetriever


def found(retriever):
    return [(hit.node_id, hit.score, hit.metadata) for hit in retriever.retrieve("지구 궤도를 도는 위성")]


def test_what_is_pickled_opens_its_index_again_with_its_settings(nodes, encoder, tmp_path):
    with PixieRetriever.from_nodes(
        nodes, encoder=encoder, path=tmp_path / "a.db", similarity_top_k=1, top_k_tokens=2
    ) as retriever:
        for one in (retriever, HybridRetriever([retriever], similarity_top_k=1)):
            assert found(pickle.loads(pickle.dumps(one))) == found(one) != []


def test_a_deep_copy_shares_the_index(nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        assert copy.deepcopy(retriever).sparse_retriever is retriever.sparse_retriever
        assert found(copy.deepcopy(HybridRetriever([retriever])))
