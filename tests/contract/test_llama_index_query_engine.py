"""PixieRetriever inside LlamaIndex's own machinery: engines, postprocessors, callbacks, events."""

from __future__ import annotations

import pytest
from llama_index.core import PromptTemplate, Settings
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.postprocessor import MetadataReplacementPostProcessor, SimilarityPostprocessor
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import RouterRetriever
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector
from llama_index.core.tools import QueryEngineTool, RetrieverTool

from pixie_retrievers.llama_index import PixieRetriever

QUERY = "위성은 어디를 도는가?"
SECRETS = ("token_explanations", "contribution", "query_weight", "_llama_index_node")


class ScriptedLLM(CustomLLM):
    """Answers with one sentence and keeps the prompts it was asked."""

    answer: str = "지구 궤도를 돕니다."
    prompts: list[str] = Field(default_factory=list)

    @property
    def metadata(self):
        return LLMMetadata(context_window=4096, num_output=256)

    def complete(self, prompt, formatted=False, **kwargs):
        self.prompts.append(prompt)
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt, formatted=False, **kwargs):
        self.prompts.append(prompt)

        def words():
            text = ""
            for word in self.answer.split():
                text += f"{word} "
                yield CompletionResponse(text=text, delta=f"{word} ")

        return words()


@pytest.fixture
def llm():
    return ScriptedLLM()


@pytest.fixture
def pixie(encoder):
    nodes = [
        TextNode(text="인공위성은 지구 궤도를 돈다.", metadata={"출처": "우주 교과서", "window": "앞뒤 문장까지"}),
        TextNode(text="로켓은 위성을 우주로 쏘아 올린다.", metadata={"출처": "발사 안내", "window": "다른 문장"}),
        TextNode(text="벼는 논에서 자란다.", metadata={"출처": "농사 달력", "window": "또 다른 문장"}),
    ]
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        yield retriever


def check(llm, response):
    """The prompt has the nodes and their metadata, the sources have the explanations; never the other way round."""
    assert str(response).startswith(llm.answer)
    prompt = "\n".join(llm.prompts)
    assert "인공위성은 지구 궤도를 돈다." in prompt
    assert "우주 교과서" in prompt
    assert not [secret for secret in SECRETS if secret in prompt]
    assert response.source_nodes
    assert all(hit.metadata["token_explanations"] for hit in response.source_nodes)


@pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE])
def test_the_prompt_of_a_query_engine_has_no_explanations(pixie, llm, mode):
    check(llm, RetrieverQueryEngine.from_args(pixie, llm=llm, response_mode=mode).query(QUERY))


async def test_a_query_engine_answers_asynchronously(pixie, llm):
    check(llm, await RetrieverQueryEngine.from_args(pixie, llm=llm).aquery(QUERY))


def test_explanations_change_no_prompt(pixie, llm):
    RetrieverQueryEngine.from_args(pixie, llm=llm).query(QUERY)
    RetrieverQueryEngine.from_args(pixie.with_options(top_k_tokens=0), llm=llm).query(QUERY)
    explained, plain = llm.prompts
    assert explained == plain


def test_the_prompt_of_a_citation_engine_has_no_explanations(pixie, llm):
    # Its prompts come from templates: the engine's own constructor takes everything from what it is given.
    synthesizer = get_response_synthesizer(llm=llm, response_mode=ResponseMode.COMPACT)
    check(llm, CitationQueryEngine(pixie, llm=llm, response_synthesizer=synthesizer).query(QUERY))


def test_the_prompt_of_a_chat_engine_has_no_explanations(pixie, llm):
    memory = ChatMemoryBuffer.from_defaults(llm=llm)  # core's default memory leaves a database connection unclosed
    check(llm, ContextChatEngine.from_defaults(retriever=pixie, llm=llm, memory=memory).chat(QUERY))


async def test_the_prompt_of_a_condensing_chat_engine_has_no_explanations(pixie, llm):
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    engine = CondensePlusContextChatEngine.from_defaults(retriever=pixie, llm=llm, memory=memory)
    check(llm, engine.chat(QUERY))
    check(llm, await engine.achat(QUERY))


async def test_the_chunks_of_a_streamed_answer_have_explained_sources(pixie, llm):
    engine = RetrieverQueryEngine.from_args(pixie, llm=llm, streaming=True)
    response = engine.query(QUERY)
    assert "".join(response.response_gen).strip() == llm.answer
    assert all(hit.metadata["token_explanations"] for hit in response.source_nodes)
    assert not [secret for secret in SECRETS if secret in "".join(llm.prompts)]


def test_a_router_chooses_a_query_engine_over_it(pixie, llm):
    choosing = ScriptedLLM(answer='[{"choice": 2, "reason": "우주"}]')
    tools = [
        QueryEngineTool.from_defaults(RetrieverQueryEngine.from_args(part, llm=llm), description=description)
        for part, description in ((pixie.with_filters({"출처": "농사 달력"}), "농사"), (pixie, "우주"))
    ]
    selector = LLMSingleSelector.from_defaults(llm=choosing)
    router = RouterQueryEngine(selector, tools, llm=llm)
    response = router.query(QUERY)
    check(llm, response)
    assert not [secret for secret in SECRETS if secret in "".join(choosing.prompts)]


async def test_a_router_joins_the_retrievers_that_it_chooses(pixie, llm):
    llm.answer = '[{"choice": 1, "reason": "우주"}, {"choice": 2, "reason": "농사"}]'
    tools = [
        RetrieverTool.from_defaults(
            pixie.with_options(filters={"출처": source}, similarity_top_k=1), description=source
        )
        for source in ("우주 교과서", "농사 달력")
    ]
    router = RouterRetriever(LLMMultiSelector.from_defaults(llm=llm), tools, llm=llm)
    for found in (router.retrieve("위성 벼 논"), await router.aretrieve("위성 벼 논")):
        assert {hit.metadata["출처"] for hit in found} == {"우주 교과서", "농사 달력"}
        assert all(hit.metadata["token_explanations"] for hit in found)


def test_postprocessors_work_on_explained_nodes(pixie, llm):
    best = pixie.retrieve(QUERY)[0]
    postprocessors = [
        SimilarityPostprocessor(similarity_cutoff=best.score - 1e-6),
        MetadataReplacementPostProcessor(target_metadata_key="window"),
    ]
    engine = RetrieverQueryEngine.from_args(pixie, llm=llm, node_postprocessors=postprocessors)
    response = engine.query(QUERY)
    assert [hit.node.get_content() for hit in response.source_nodes] == [best.node.metadata["window"]]
    assert response.source_nodes[0].metadata["token_explanations"] == best.metadata["token_explanations"]


def test_a_hypothetical_answer_is_searched_in_place_of_the_query(pixie, llm):
    llm.answer = "벼는 논에서 자란다."
    hyde = HyDEQueryTransform(llm=llm, hyde_prompt=PromptTemplate("{context_str}"), include_original=False)
    response = TransformQueryEngine(RetrieverQueryEngine.from_args(pixie, llm=llm), hyde).query(QUERY)
    assert response.source_nodes[0].metadata["출처"] == "농사 달력"


def test_callbacks_see_the_retrieval(encoder):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([debug])
    nodes = [TextNode(text="인공위성은 지구 궤도를 돈다.")]
    with PixieRetriever.from_nodes(nodes, encoder=encoder, callback_manager=manager) as retriever:
        found = retriever.retrieve(QUERY)
    ((start, end),) = debug.get_event_pairs(CBEventType.RETRIEVE)
    assert start.payload["query_str"] == QUERY
    assert end.payload["nodes"] == found


def test_the_callback_manager_of_the_settings_is_the_default(pixie, monkeypatch):
    manager = CallbackManager([])
    monkeypatch.setattr(Settings, "_callback_manager", manager)
    assert PixieRetriever.from_index(pixie.sparse_retriever).callback_manager is manager


async def test_instrumentation_sees_the_retrieval(pixie):
    class Recorder(BaseEventHandler):
        events: list = Field(default_factory=list)

        def handle(self, event, **kwargs):
            self.events.append(event)

    recorder = Recorder()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        here = pixie.retrieve(QUERY)
        there = await pixie.aretrieve(QUERY)
    finally:
        dispatcher.event_handlers.remove(recorder)
    assert [type(event) for event in recorder.events] == [RetrievalStartEvent, RetrievalEndEvent] * 2
    assert [event.nodes for event in recorder.events[1::2]] == [here, there]
    assert recorder.events[1].model_dump(mode="json")["nodes"][0]["node"]["metadata"]["token_explanations"]
