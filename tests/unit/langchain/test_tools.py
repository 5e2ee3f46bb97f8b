"""The retriever as a tool, and tools retrieved for langgraph-bigtool's agents."""

from __future__ import annotations

import asyncio

import pytest
from agents import call, script
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool, tool
from langchain_core.tools.structured import StructuredTool
from pydantic import ValidationError

from pixie_retrievers.errors import DuplicateIdError, FilterError, InvalidParameterError
from pixie_retrievers.langchain import (
    PixieRetriever,
    PixieVectorStore,
    create_search_tool,
    retrieve_tools_functions,
)
from pixie_retrievers.langchain.tools import describe_tool
from pixie_retrievers.tools import ToolDescription, ToolIndex, citation

CALL = {"name": "search", "args": {"query": "위성"}, "id": "1", "type": "tool_call"}


@pytest.fixture
def retriever(words):
    with PixieRetriever.from_texts(["위성 위성", "위성 발사"], [{"secret": "x"}] * 2, ["a", "b"], encoder=words) as it:
        yield it


@pytest.fixture
def search(retriever):
    return create_search_tool(retriever, "search", "기사를 찾는다.")


class TestSearchTool:
    def test_shows_the_model_ids_and_texts_and_keeps_the_explanations(self, search):
        message = search.invoke(CALL)
        assert isinstance(message, ToolMessage)
        assert message.content == "[a] 위성 위성\n\n[b] 위성 발사"
        assert [document.metadata["score"] for document in message.artifact] == [2.0, 1.0]
        assert message.artifact[0].metadata["token_explanations"][0]["token"] == "위성"

    async def test_says_the_same_without_blocking(self, search, words):
        words.gate.clear()
        words.waiting.clear()
        searching = asyncio.create_task(search.ainvoke(CALL))
        assert await asyncio.to_thread(words.waiting.wait, 20)
        assert not searching.done()
        words.gate.set()
        assert await searching == search.invoke(CALL)

    def test_says_in_words_that_nothing_was_found(self, search, retriever):
        message = search.invoke({**CALL, "args": {"query": "바다"}})
        assert (message.content, message.artifact) == ("No document matches.", [])
        own = create_search_tool(retriever, "search", "찾는다.", no_match="없음", separator="\n")
        assert own.invoke({**CALL, "args": {"query": "바다"}}).content == "없음"
        assert own.invoke(CALL).content == "[a] 위성 위성\n[b] 위성 발사"

    def test_tells_the_model_what_it_takes(self, search):
        assert (search.name, search.description) == ("search", "기사를 찾는다.")
        assert list(search.args) == ["query"]

    def test_is_traced_with_its_retrieval(self, search):
        class Recorder(BaseCallbackHandler):
            def __init__(self):
                self.parents = []

            def on_retriever_start(self, serialized, query, *, run_id, parent_run_id=None, **kwargs):
                self.parents.append(parent_run_id)

        recorder = Recorder()
        search.invoke(CALL, {"callbacks": [recorder]})
        assert len(recorder.parents) == 1
        assert recorder.parents[0] is not None


def test_langchains_own_retriever_tool_keeps_explanations_out_of_the_prompt(retriever):
    own = create_retriever_tool(retriever, "search", "찾는다.", response_format="content_and_artifact")
    message = own.invoke(CALL)
    assert message.content == "위성 위성\n\n위성 발사"
    assert message.artifact[0].metadata["token_explanations"]


@tool
def get_weather(city: str) -> str:
    """도시의 오늘 날씨를 알려 준다."""
    return f"{city}: 맑음"


def send_mail(to: str) -> str:
    """받는 사람에게 전자 우편을 보낸다."""
    return f"{to}에게 보냈다"


def undescribed() -> str:
    return ""


def test_tools_and_functions_are_described_by_name_and_docstring():
    assert describe_tool(get_weather) == ToolDescription("get_weather", "도시의 오늘 날씨를 알려 준다.")
    assert describe_tool(send_mail) == ToolDescription("send_mail", "받는 사람에게 전자 우편을 보낸다.")
    assert describe_tool(undescribed) == ToolDescription("undescribed", "")
    with pytest.raises(InvalidParameterError, match="dict is not a tool"):
        describe_tool({"name": "search"})


class TestBigtool:
    REGISTRY = {"id-1": get_weather, "id-2": send_mail}  # noqa: RUF012  # nobody changes it

    @pytest.fixture
    def index(self, encoder):
        with ToolIndex.open(encoder=encoder, k=1) as index:
            yield index

    async def test_tools_come_back_by_the_registrys_ids(self, index):
        retrieve, aretrieve = retrieve_tools_functions(index, self.REGISTRY)
        assert retrieve("서울 날씨") == await aretrieve("서울 날씨") == ["id-1"]
        assert retrieve("우편을 보낸다") == ["id-2"]

    def test_no_tool_is_an_answer(self, index):
        retrieve, _ = retrieve_tools_functions(index, self.REGISTRY)
        index.score_threshold = 1e6
        assert retrieve("서울 날씨") == []

    def test_two_tools_of_one_name_are_refused(self, index):
        with pytest.raises(DuplicateIdError):
            retrieve_tools_functions(index, {"id-1": get_weather, "id-2": get_weather})

    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_an_agent_looks_its_tools_up_and_has_them_in_its_next_turn(self, index, asynchronous):
        """The tool is not called: there langgraph-bigtool 0.0.3 asks langgraph for a method that 1.x has no more."""
        bigtool = pytest.importorskip("langgraph_bigtool")
        retrieve, aretrieve = retrieve_tools_functions(index, self.REGISTRY)
        model = script(call("retrieve_tools", query="서울 날씨"), "도구를 찾았다.")
        agent = bigtool.create_agent(
            model,
            {"id-1": get_weather, "id-2": StructuredTool.from_function(send_mail)},
            retrieve_tools_function=retrieve,
            retrieve_tools_coroutine=aretrieve,
        ).compile()
        asked = {"messages": [("human", "서울 날씨 어때?")]}
        state = await agent.ainvoke(asked) if asynchronous else agent.invoke(asked)
        assert state["selected_tool_ids"] == ["id-1"]
        assert model.tools_seen == [["retrieve_tools"], ["retrieve_tools", "get_weather"]]
        assert [m.content for m in state["messages"] if isinstance(m, ToolMessage)] == [
            "Available tools: ['get_weather']"
        ]


def test_documents_without_an_id_are_shown_with_their_text():

    found = create_search_tool(RunnableLambda(lambda _: [Document("글")]), "search", "찾는다.").invoke(CALL)
    assert found.content.endswith("글")


class TestWhatTheModelSees:
    def test_a_long_id_is_short_and_the_same_everywhere(self, words):
        long = "문서/2024/감사원 결정문 제12호.pdf#page=7"
        with PixieRetriever.from_texts(["위성"], ids=[long], encoder=words) as retriever:
            message = create_search_tool(retriever, "search", "찾는다.").invoke(CALL)
        assert message.content == f"[{citation(long)}] 위성"
        assert (len(citation(long)), citation("rules.md#12"), len(citation("a]b"))) == (8, "rules.md#12", 8)
        assert message.artifact[0].id == long

    def test_metadata_are_shown_by_name_and_only_those(self, retriever):
        retriever.update_metadata({"title": "하나", "page": {"number": 3}}, ids=["a"])
        shown = create_search_tool(retriever, "s", "찾는다.", metadata_keys=["title", "page.number", "score"], k=2)
        assert shown.invoke(CALL).content == "[a] title: 하나\npage.number: 3\n위성 위성\n\n[b] 위성 발사"

    def test_a_prompt_says_how_a_document_is_shown(self, retriever):
        prompt = PromptTemplate.from_template("<{citation} {secret}>{page_content}</>")
        shown = create_search_tool(retriever, "s", "찾는다.", document_prompt=prompt, separator="")
        assert shown.invoke(CALL).content == "<a x>위성 위성</><b x>위성 발사</>"
        with pytest.raises(InvalidParameterError, match="leave metadata_keys out"):
            create_search_tool(retriever, "s", "찾는다.", document_prompt=prompt, metadata_keys=["secret"])


class TestWhatTheToolSearches:
    @pytest.mark.parametrize("kind", ["retriever", "store", "any"])
    async def test_k_and_a_filter_hold_whatever_the_retriever_is(self, retriever, kind):
        retriever.update_metadata({"n": 1}, ids=["b"])
        everything = retriever.invoke("위성")
        searched = {
            "retriever": retriever,
            "store": PixieVectorStore(retriever.sparse_retriever).as_retriever(),
            "any": RunnableLambda(lambda _: everything),
        }[kind]
        one = create_search_tool(searched, "s", "찾는다.", k=1)
        assert one.invoke(CALL).content == (await one.ainvoke(CALL)).content == "[a] 위성 위성"
        some = create_search_tool(searched, "s", "찾는다.", filter={"n": 1})
        assert some.invoke(CALL).content == (await some.ainvoke(CALL)).content == "[b] 위성 발사"
        with pytest.raises(FilterError):
            create_search_tool(searched, "s", "찾는다.", filter={"n": {"$near": 1}})
        with pytest.raises(InvalidParameterError, match="k is 0"):
            create_search_tool(searched, "s", "찾는다.", k=0)

    def test_arguments_that_the_model_made_up_are_refused(self, search):
        with pytest.raises(ValidationError, match="year"):
            search.invoke({**CALL, "args": {"query": "위성", "year": 2020}})
        with pytest.raises(TypeError, match="top_k"):
            create_search_tool(search, "s", "찾는다.", top_k=3)
