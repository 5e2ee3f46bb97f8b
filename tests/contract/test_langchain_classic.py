"""LangChain's retrievers that wrap another: each over ours, with explanations on, and what must not break."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.stores import InMemoryStore
from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery
from langchain_core.vectorstores import InMemoryVectorStore

from pixie_retrievers.langchain import PixieRetriever, PixieTranslator, PixieVectorStore, TokenExplainer

classic = pytest.importorskip("langchain_classic.retrievers")
splitters = pytest.importorskip("langchain_text_splitters")

DOCUMENTS = [
    Document("위성을 궤도에 올린다.", id="a", metadata={"n": 0}),
    Document("위성 자료로 농사를 돕는다.", id="b", metadata={"n": 1}),
    Document("김치를 담근다.", id="c", metadata={"n": 2}),
]


class Fixed(BaseRetriever):
    documents: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.documents


@pytest.fixture
def retriever(encoder):
    with PixieRetriever.from_documents(DOCUMENTS, encoder=encoder) as retriever:
        yield retriever


def ids(documents):
    return [document.id for document in documents]


class TestEnsemble:
    async def test_joins_by_text_and_keeps_our_explanations_when_we_come_first(self, retriever):
        other = Fixed(documents=[Document("김치를 담근다.", id="c"), Document("위성을 궤도에 올린다.", id="a")])
        ensemble = classic.EnsembleRetriever(retrievers=[retriever, other], weights=[0.5, 0.5])
        found = ensemble.invoke("위성을 궤도에")
        assert found[0].id == "a"
        assert found[0].metadata["token_explanations"]
        assert len(found) == len({document.page_content for document in found})
        assert ids(await ensemble.ainvoke("위성을 궤도에")) == ids(found)

    def test_with_a_dense_store_finds_what_either_finds(self, retriever):
        dense = InMemoryVectorStore.from_documents(DOCUMENTS, DeterministicFakeEmbedding(size=8))
        found = classic.EnsembleRetriever(retrievers=[retriever, dense.as_retriever()]).invoke("위성")
        assert sorted(ids(found)) == ["a", "b", "c"]

    def test_joins_by_a_key_of_the_metadata(self, retriever):
        other = Fixed(documents=[Document("다른 글", metadata={"n": 0})])
        found = classic.EnsembleRetriever(retrievers=[retriever, other], id_key="n").invoke("위성을 궤도에")
        assert found[0].id == "a"
        assert [document.metadata["n"] for document in found].count(0) == 1

    def test_takes_the_batch_path(self, retriever):
        ensemble = classic.EnsembleRetriever(retrievers=[retriever])
        assert [ids(found)[0] for found in ensemble.batch(["궤도", "김치"])] == ["a", "c"]


class Backwards(BaseDocumentCompressor):
    """A reranker, as one over a cross-encoder would be: it reorders, cuts, and adds its own score."""

    def compress_documents(self, documents, query, callbacks=None):
        ordered = sorted(documents, key=lambda document: document.metadata["n"], reverse=True)
        return [
            document.model_copy(update={"metadata": {**document.metadata, "relevance_score": 1 / place}})
            for place, document in enumerate(ordered, 1)
        ]


async def test_a_reranker_gets_explained_documents_and_hands_the_explanations_on(retriever):
    reranked = classic.ContextualCompressionRetriever(base_compressor=Backwards(), base_retriever=retriever)
    found = reranked.invoke("위성을 궤도에 올려 농사를 돕는다")
    assert [document.metadata["n"] for document in found] == sorted(
        (document.metadata["n"] for document in found), reverse=True
    )
    for document in found:
        assert document.metadata["token_explanations"]
        assert document.metadata["relevance_score"] <= 1
    assert ids(await reranked.ainvoke("위성을 궤도에 올려 농사를 돕는다")) == ids(found)


def test_what_another_retriever_found_is_explained_in_its_place(retriever):
    bare = PixieVectorStore(retriever.sparse_retriever, top_k_tokens=0).as_retriever()  # as a dense one would be
    explaining = classic.ContextualCompressionRetriever(base_compressor=TokenExplainer(retriever), base_retriever=bare)
    found = explaining.invoke("위성")
    assert ids(found) == ids(bare.invoke("위성"))
    assert [document.metadata["token_explanations_score"] for document in found] == [
        document.metadata["score"] for document in retriever.invoke("위성")
    ]


class TestParentDocument:
    """It stores pieces with a key of their parent in the metadata, and looks the parents up."""

    def retriever_over(self, store, docstore):
        return classic.ParentDocumentRetriever(
            vectorstore=store,
            docstore=docstore,
            child_splitter=splitters.RecursiveCharacterTextSplitter(chunk_size=20, chunk_overlap=0),
        )

    @pytest.mark.parametrize("top_k_tokens", [0, 5])
    async def test_finds_parents_by_their_pieces(self, encoder, top_k_tokens):
        parents = [
            Document("위성을 궤도에 올린다. " * 3, id="space", metadata={"n": 0}),
            Document("김치를 담근다. " * 3, id="food", metadata={"n": 1}),
        ]
        with PixieVectorStore.from_texts([], encoder=encoder, top_k_tokens=top_k_tokens) as store:
            found = self.retriever_over(store, InMemoryStore())
            found.add_documents(parents)
            assert len(store.sparse_retriever) > len(parents)
            assert [document.metadata["n"] for document in found.invoke("김치")] == [1]
            assert [document.metadata["n"] for document in await found.ainvoke("김치")] == [1]

    def test_equal_pieces_of_one_parent_are_all_kept(self, encoder):
        with PixieVectorStore.from_texts([], encoder=encoder) as store:
            found = self.retriever_over(store, InMemoryStore())
            found.add_documents([Document("위성을 본다.\n\n" * 4)])
            assert len(store.similarity_search("위성", k=10)) == len(store.sparse_retriever) > 1


class TestMultiQuery:
    """It asks several versions of a question and joins what is new."""

    def test_returns_a_document_once_per_explanation_of_it(self, retriever):
        """It compares whole documents: one found by two questions has two scores, and comes back twice."""
        model = FakeListLLM(responses=["위성 궤도\n위성 농사"])
        found = classic.MultiQueryRetriever.from_llm(retriever=retriever, llm=model).invoke("위성")
        assert len(ids(found)) > len(set(ids(found)))

    def test_returns_each_document_once_without_scores_in_the_metadata(self, encoder):
        with PixieVectorStore.from_documents(DOCUMENTS, encoder=encoder, top_k_tokens=0) as store:
            model = FakeListLLM(responses=["위성 궤도\n위성 농사"])
            found = classic.MultiQueryRetriever.from_llm(retriever=store.as_retriever(), llm=model).invoke("위성")
            assert sorted(ids(found)) == ["a", "b"]


def test_a_prompt_stuffed_with_documents_holds_texts_and_nothing_of_the_explanations(retriever):
    chains = pytest.importorskip("langchain_classic.chains.combine_documents")
    prompts = []
    model = RunnableLambda(lambda prompt: prompts.append(prompt.to_string()) or AIMessage("답"))
    chain = chains.create_stuff_documents_chain(model, ChatPromptTemplate.from_template("자료: {context}"))
    assert chain.invoke({"context": retriever.invoke("위성을 궤도에", k=1)}) == "답"
    assert prompts == ["Human: 자료: 위성을 궤도에 올린다."]


class TestSelfQuery:
    """A model writes a structured query; the prompt and the parser of its text are LangChain's own affair."""

    @pytest.fixture
    def store(self, encoder):
        with PixieVectorStore.from_documents(DOCUMENTS, encoder=encoder) as store:
            yield store

    @staticmethod
    def over(store, query, filter=None, limit=None, **options):
        written = StructuredQuery(query=query, filter=filter, limit=limit)
        translator = PixieTranslator(filter=options.pop("beside", None))
        return classic.SelfQueryRetriever(
            query_constructor=PromptTemplate.from_template("{query}")
            | FakeListLLM(responses=["무엇이든"])
            | RunnableLambda(lambda _: written),
            vectorstore=store,
            structured_query_translator=translator,
            **options,
        )

    async def test_words_filter_and_limit_are_those_that_the_model_wrote(self, store):
        some = Comparison(Comparator.GTE, "n", 1)
        (found,) = self.over(store, "위성", some).invoke("1보다 크고 위성에 관한 것")
        assert found.id == "b"
        assert found.metadata["token_explanations"]
        assert ids(await self.over(store, "위성", some).ainvoke("무엇이든")) == ["b"]
        assert len(self.over(store, "위성").invoke("무엇이든")) == 2
        assert len(self.over(store, "위성", limit=1).invoke("무엇이든")) == 1

    def test_a_filter_without_words_lists_what_passes(self, store):
        either = Operation(Operator.OR, [Comparison(Comparator.EQ, "n", 2), Comparison(Comparator.IN, "n", [0])])
        assert ids(self.over(store, "", either).invoke("무엇이든")) == ["a", "c"]

    def test_a_wall_stands_in_the_translator_and_not_in_the_search_arguments(self, store):
        every = Comparison(Comparator.GTE, "n", 0)
        wall = {"n": {"$ne": 0}}
        assert ids(self.over(store, "위성", every, beside=wall).invoke("무엇이든")) == ["b"]
        assert ids(self.over(store, "위성", beside=wall).invoke("무엇이든")) == ["b"]
        open_ = self.over(store, "위성", every, search_kwargs={"filter": wall})
        assert len(open_.invoke("무엇이든")) == 2, "LangChain lets it hold now: say so in the docs"
