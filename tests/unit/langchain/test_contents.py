"""Documents listed, counted, changed and removed, in LangChain's words, by retriever and vector store alike."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document

from pixie_retrievers.errors import DocumentNotFoundError, InvalidDocumentError, InvalidParameterError
from pixie_retrievers.langchain import PixieRetriever, PixieVectorStore
from pixie_retrievers.langchain.documents import to_langchain

PAGES = [Document(f"위성 {n}", id=id, metadata={"year": 2020 + n % 2}) for n, id in enumerate("abc")]


@pytest.fixture(params=[PixieRetriever, PixieVectorStore])
def kept(request, words):
    with request.param.from_documents(PAGES, encoder=words) as kept:
        yield kept


def test_both_list_count_and_change(kept):
    assert kept.ids(filter={"year": 2020}) == ["a", "c"]
    assert kept.ids(limit=1, offset=1) == ["b"]
    assert (kept.count(), kept.count(filter={"year": 2021})) == (3, 1)
    assert kept.facets("year") == {2020: 2, 2021: 1}
    assert kept.update_metadata({"read": True}, ids=["a"], filter={"year": 2020}) == 1
    read = kept.get if isinstance(kept, PixieRetriever) else kept.get_by_ids
    assert read(["a"]) == [Document("위성 0", id="a", metadata={"year": 2020, "read": True})]


def test_both_explain_a_document_by_its_id_or_itself_whoever_found_it(kept):
    stored = kept.sparse_retriever.explain("위성 1", "b")
    found = kept.sparse_retriever.search("위성 1", k=1)[0]
    assert kept.explain("위성 1", "b") == stored
    assert kept.explain("위성 1", PAGES[1]) == stored
    assert kept.explain("위성 1", to_langchain(found)) == stored
    assert kept.explain("위성 위성", Document("위성 새것")).score == 2.0  # the index lacks it
    assert kept.explain("위성 1", "b", top_k_tokens=1).residual == 1.0
    assert kept.explain("바다", "b").score == 0.0


async def test_what_cannot_be_explained_is_refused(kept):
    assert (await kept.aexplain("위성 1", "b")).score == 2.0
    with pytest.raises(DocumentNotFoundError, match="'z'"):
        kept.explain("위성", "z")
    with pytest.raises(InvalidDocumentError, match="type int"):
        kept.explain("위성", 3)


async def test_both_do_it_without_blocking(kept):
    assert await kept.aupdate_metadata({"year": 2022}, filter={"year": 2021}) == 1
    assert await kept.aids(filter={"year": 2022}) == ["b"]
    assert await kept.acount(filter={"year": 2022}) == 1
    assert await kept.afacets("year") == {2020: 2, 2022: 1}
    await kept.adelete(filter={"year": 2020})
    assert kept.ids() == ["b"]


def test_both_delete_by_filter(kept):
    kept.delete(["a", "b"], filter={"year": 2021})
    assert kept.ids() == ["a", "c"]
    kept.delete(filter={"year": 1999})
    assert kept.ids() == ["a", "c"]
    kept.delete(filter={"year": 2020})
    assert kept.ids() == []


def test_what_is_left_out_means_all_to_a_vector_store_alone(kept):
    if isinstance(kept, PixieRetriever):
        with pytest.raises(InvalidParameterError, match="ids of the documents to remove, or a filter"):
            kept.delete()
        assert kept.count() == 3
    else:
        assert kept.delete()
        assert kept.count() == 0
    with pytest.raises(TypeError, match="it takes ids and filter"):
        kept.delete(["a"], where={})


def test_a_temporary_index_is_saved_and_goes_on_where_it_was_saved(kept, words, tmp_path):
    kept.backup(tmp_path / "kept.db")
    kept.add_documents([Document("농업", id="d")])
    kept.close()
    with type(kept).from_index(tmp_path / "kept.db", encoder=words) as again:
        assert again.ids() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("kind", [PixieRetriever, PixieVectorStore])
def test_fields_are_encoded_with_the_text_and_the_index_remembers_them(kind, words, tmp_path):
    page = Document("논에서 자란다", id="rice", metadata={"title": "벼"})
    with kind.from_documents([page], encoder=words, path=tmp_path / "a.db", text_fields=("title", "text")) as there:
        there.add_documents([Document("지구를 돈다", id="moon", metadata={"title": "달"})])
    with kind.from_index(tmp_path / "a.db", encoder=words) as there:
        (found,) = (there if kind is PixieRetriever else there.as_retriever()).invoke("달")
        assert (found.id, found.page_content) == ("moon", "달\n지구를 돈다")
        there.add_documents([found])
        assert there.sparse_retriever.get(["moon"])[0].text == "달\n지구를 돈다"
