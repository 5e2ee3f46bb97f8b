"""Nodes listed, counted, changed and removed, in LlamaIndex's words, by retriever and vector store alike."""

from __future__ import annotations

import pickle

import pytest
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from pixie_retrievers import SparseRetriever
from pixie_retrievers.errors import DocumentNotFoundError, InvalidDocumentError, InvalidParameterError
from pixie_retrievers.llama_index import PixieRetriever, PixieVectorStore
from pixie_retrievers.llama_index.nodes import to_node

SPACE = MetadataFilters(filters=[MetadataFilter(key="field", value="우주")])


@pytest.fixture(params=[PixieRetriever, PixieVectorStore])
def kept(request, nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        yield retriever if request.param is PixieRetriever else PixieVectorStore(retriever.sparse_retriever)


async def test_both_explain_a_node_by_its_id_or_itself_whoever_found_it(kept, nodes):
    words = "지구를 도는 위성"
    stored = kept.sparse_retriever.explain(words, "orbit")
    hit = NodeWithScore(node=nodes[0], score=0.5)
    for asked in ("orbit", nodes[0], hit, to_node(kept.sparse_retriever.get(["orbit"])[0])):
        assert kept.explain(words, asked) == stored
    assert kept.explain(QueryBundle("아무 말", custom_embedding_strs=[words]), "orbit") == stored
    assert await kept.aexplain(QueryBundle(words), hit) == stored
    assert kept.explain("달", TextNode(text="달은 지구를 돈다.")).contributions[0].surface == "달"  # the index lacks it
    assert kept.explain(words, "orbit").spans().terms
    with pytest.raises(DocumentNotFoundError, match="'moon'"):
        kept.explain(words, "moon")
    with pytest.raises(InvalidDocumentError, match="type int"):
        kept.explain(words, 3)


def test_both_list_count_and_delete(kept):
    assert kept.node_ids(filters=SPACE) == ["orbit", "rocket"]
    assert kept.node_ids(limit=1, offset=1) == ["rocket"]
    assert (kept.count(), kept.count(filters=SPACE)) == (4, 2)
    assert kept.facets("field") == {"우주": 2, "농업": 1, "음식": 1}
    assert kept.facets("tags", filters=SPACE) == {"위성": 1, "지구": 1, "발사": 1}
    kept.delete_nodes(["orbit", "rice"], SPACE)
    kept.delete_nodes(filters={"field": "음식"})
    assert kept.node_ids() == ["rocket", "rice"]
    with pytest.raises(InvalidParameterError):
        kept.delete_nodes()
    kept.delete_nodes(filters=MetadataFilters(filters=[]))
    assert kept.count() == 0


def test_metadata_that_is_not_embedded_changes_without_encoding(kept, encoder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encode_documents", lambda *_, **__: pytest.fail("a text was encoded"))
        assert kept.update_metadata({"year": 2024}, filters=SPACE) == 2
        assert kept.update_metadata(lambda metadata: {"year": len(metadata)}, node_ids=["rice", "nowhere"]) == 1
    assert {node.node_id: node.metadata for node in kept.get_nodes(["rocket", "rice"])} == {
        "rocket": {"field": "우주", "year": 2024, "tags": ["발사"]},
        "rice": {"year": 3},
    }


def test_metadata_that_is_embedded_is_searched_as_it_is_now(encoder):
    with PixieRetriever.from_nodes(
        [TextNode(text="본문", id_="a", metadata={"title": "달"})], encoder=encoder
    ) as there:
        assert there.update_metadata({"title": "로켓"}, node_ids=["a"]) == 1
        (found,) = there.retrieve("로켓")
        assert found.node.get_content(MetadataMode.EMBED) == "title: 로켓\n\n본문"
        assert there.retrieve("달") == []


async def test_both_do_it_without_blocking(kept):
    assert await kept.aupdate_metadata({"year": 2025}, filters=SPACE) == 2
    assert await kept.anode_ids(filters={"year": 2025}) == ["orbit", "rocket"]
    assert await kept.acount(filters={"year": 2025}) == 2
    assert (await kept.afacets("year"))[2025] == 2


def test_a_temporary_index_is_saved_and_goes_on_where_it_was_saved(nodes, encoder, tmp_path):
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        retriever.backup(tmp_path / "retriever.db")
        retriever.add_nodes([TextNode(text="새 위성", id_="new")])
    with PixieVectorStore(tmp_path / "retriever.db", encoder=encoder) as store:
        assert store.count() == 5
    with PixieVectorStore(encoder=encoder) as store:
        store.add(nodes)
        store.persist(str(tmp_path / "copy.json"))
        store.backup(tmp_path / "store.db")
        store.persist(str(tmp_path / "none.json"))
        assert sorted(path.name for path in tmp_path.glob("*.db")) == ["copy.db", "retriever.db", "store.db"]
        assert store.to_dict()["path_or_index"] == str(tmp_path / "store.db")
        assert pickle.loads(pickle.dumps(store)).count() == 4


def test_nodes_say_themselves_what_is_encoded(nodes, encoder, tmp_path):
    with SparseRetriever.open(encoder=encoder, text_fields=("title", "text")) as facade:
        facade.add_texts(["논에서 자란다."], [{"title": "벼"}], ["rice"])
        assert PixieRetriever(facade).retrieve("벼")[0].text == "벼\n논에서 자란다."
        for call in (
            lambda: PixieRetriever(facade).add_nodes(nodes),
            lambda: PixieVectorStore(facade).add(nodes),
            lambda: PixieRetriever(facade).update_metadata({"a": 1}, node_ids=["rice"]),
        ):
            with pytest.raises(InvalidParameterError, match="without text_fields"):
                call()
