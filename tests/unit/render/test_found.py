"""What LangChain's and LlamaIndex's retrievers return is shown as results are, marked where a tokenizer is at hand."""

from __future__ import annotations

import pickle

import pytest
from explanations import NamesWithSpans

from pixie_retrievers import InvalidDocumentError, InvalidParameterError, SparseRetriever, show, to_html, to_text
from pixie_retrievers.types import SearchResult, SearchResults

TEXTS = ["로켓은 위성을 우주로 쏘아 올린다.", "인공위성은 지구 궤도를 돈다.", "벼는 논에서 자란다."]
QUERY = "위성을 쏘아 올리다"


@pytest.fixture(scope="module")
def results(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(TEXTS, [{"year": 2020 + n} for n in range(3)], ["rocket", "orbit", "rice"])
        yield retriever.search(QUERY, k=2, top_k_tokens=None)


def test_langchain_documents_are_shown_as_the_results_that_they_are(encoder, results):
    documents = pytest.importorskip("pixie_retrievers.langchain.documents")
    found = [documents.to_langchain(result) for result in results]
    assert show(found, encoder=encoder)._repr_html_() == to_html(results)
    assert to_text(show(found)) == to_text(results)
    assert show(found[0]) == show(found[:1])


def test_llama_index_nodes_are_shown_with_the_text_that_was_read(encoder):
    pytest.importorskip("llama_index.core")
    from pixie_retrievers.llama_index import PixieRetriever
    from pixie_retrievers.llama_index.nodes import to_node
    from pixie_retrievers.types import Document

    nodes = [to_node(Document(f"n{n}", text, {"year": 2020 + n})) for n, text in enumerate(TEXTS)]
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        found = retriever.retrieve(QUERY)
        stored = retriever.sparse_retriever.search(QUERY, k=2)
    shown = show(found, encoder=encoder)
    assert [result.document.text for result in shown] == [result.document.text for result in stored]
    assert [result.score for result in shown] == [result.score for result in stored]
    assert [result.explanation.to_metadata() for result in shown] == [r.explanation.to_metadata() for r in stored]
    assert to_html(shown).count("<mark") == to_html(stored).count("<mark") > 0
    (alone,) = show(found[0].node)
    assert alone.document.id == found[0].node_id
    assert "score" not in to_text(alone)


@pytest.mark.parametrize("top_k_tokens", [1, 2, None])
def test_what_is_shown_adds_up_however_few_tokens_were_noted(encoder, top_k_tokens):
    documents = pytest.importorskip("pixie_retrievers.langchain.documents")
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(TEXTS)
        (found,) = retriever.search(QUERY, k=1, top_k_tokens=top_k_tokens)
    document = documents.to_langchain(found)
    (shown,) = show(document)
    why = shown.explanation
    assert why.n_tokens == found.explanation.n_tokens > 2
    assert why.residual == found.explanation.residual
    assert why.score == pytest.approx(found.score)
    assert sum(one.contribution for one in why.contributions) + why.residual == pytest.approx(shown.score)
    assert to_text(shown) == to_text(found)
    assert pickle.loads(pickle.dumps(why)) == why
    noted = document.metadata
    listed = sum(one["contribution"] for one in noted["token_explanations"])
    assert listed + noted["token_explanations_residual"] == pytest.approx(noted["score"])
    assert noted["token_explanations_n_tokens"] == found.explanation.n_tokens


def test_drawing_takes_what_a_framework_returned(results):
    documents = pytest.importorskip("pixie_retrievers.langchain.documents")
    found = [documents.to_langchain(result) for result in results]
    for draw in (to_html, to_text):
        assert draw(found) == draw(show(found))
        assert draw(iter(found)) == draw(found)
        assert draw(found[0]) == draw(show(found)[0])
        assert draw([]) == draw(SearchResults())
        with pytest.raises(InvalidDocumentError, match="type str"):
            draw(["로켓"])


def test_of_a_hybrid_retrieval_the_part_that_names_tokens_is_shown(results):
    core = pytest.importorskip("langchain_core.documents")
    tokens = results[0].explanation.to_metadata()
    parts = {"dense": {"rank": 1}, "sparse": {"rank": 1, "token_explanations": tokens}}
    document = core.Document("로켓", id="rocket", metadata={"score": 0.03, "fusion_parts": parts})
    (shown,) = show([document])
    assert shown.score == 0.03
    assert shown.explanation.to_metadata() == tokens
    assert shown.document.metadata == {}


def test_a_document_without_score_and_reasons_is_shown_without(encoder):
    core = pytest.importorskip("langchain_core.documents")
    for drawn in (to_html, to_text):
        shown = drawn(show(core.Document("로켓은 날아간다."), encoder=encoder))
        assert "로켓은 날아간다." in shown
        assert "nan" not in shown
        assert "score " not in shown.partition("</style>")[2]


@pytest.mark.parametrize("tokens", ["위성", [{"token": "위성"}], [3], 5, [{"token_id": "a"}]])
def test_token_explanations_of_somebody_else_are_refused(tokens):
    core = pytest.importorskip("langchain_core.documents")
    with pytest.raises(InvalidDocumentError, match=r"'rocket'.*token_explanations"):
        show([core.Document("로켓", id="rocket", metadata={"token_explanations": tokens})])


def test_what_is_neither_is_refused_by_its_type(results):
    with pytest.raises(InvalidDocumentError, match="type str"):
        show(["로켓"])
    with pytest.raises(InvalidParameterError, match="NamesWithSpans cannot say where tokens stand"):
        show(results, encoder=NamesWithSpans({}, ""))


def test_lists_of_results_show_themselves_and_so_do_their_parts(results):
    assert isinstance(results, SearchResults)
    assert isinstance(results[0], SearchResult)
    assert results[:1]._repr_html_() == to_html(results[:1])
    assert results == list(results) == show(results)
