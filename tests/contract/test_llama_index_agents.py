"""LlamaIndex agents: a Pixie retriever as their tool, and Pixie choosing among their tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, ReActAgent, ToolCallResult
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.llms import ChatMessage, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.objects import ObjectRetriever
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.tools import FunctionTool, RetrieverTool

from pixie_retrievers.errors import DuplicateIdError, InvalidParameterError
from pixie_retrievers.llama_index import PixieRetriever, ToolRetriever, create_search_tool
from pixie_retrievers.tools import ToolIndex, citation

SPACE = "인공위성은 지구 궤도를 돈다."
ABOUT = {
    "weather": "도시의 날씨를 알려 준다.",
    "mail": "전자 우편을 보낸다.",
    "train": "기차표를 예매한다.",
    "satellite": "위성 영상을 찾는다.",
    "recipe": "요리법을 찾아 준다.",
}


# LlamaIndex's agents look at every attribute of themselves, those included that pydantic deprecates.
an_agent_runs = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class ScriptedLLM(CustomLLM):
    """Answers with its lines one after the other, and keeps the prompts it was asked."""

    lines: list[str]
    prompts: list[str] = Field(default_factory=list)

    @property
    def metadata(self):
        return LLMMetadata(context_window=100_000, num_output=256)

    def complete(self, prompt, formatted=False, **kwargs):
        self.prompts.append(prompt)
        return CompletionResponse(text=self.lines[len(self.prompts) - 1])

    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield self.complete(prompt)


def calling(name, **arguments):
    return f"Thought: I need a tool.\nAction: {name}\nAction Input: {json.dumps(arguments, ensure_ascii=False)}"


def answer(text):
    return f"Thought: I can answer without using any more tools.\nAnswer: {text}"


def tool(name, description):
    def function(thing: str) -> str:
        return f"{name}: {thing}"

    return FunctionTool.from_defaults(function, name=name, description=description)


@pytest.fixture
def retriever(encoder):
    nodes = [TextNode(text=SPACE, metadata={"출처": "교과서"}), TextNode(text="벼는 논에서 자란다.")]
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        yield retriever


@pytest.fixture
def tools():
    return [tool(name, description) for name, description in ABOUT.items()]


@pytest.fixture
def index(encoder):
    with ToolIndex.open(encoder=encoder, k=2) as index:
        yield index


async def run(agent, question):
    """The answer of an agent, and what its tools put out."""
    handler = agent.run(user_msg=question)
    outputs = [event.tool_output async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    return str(await handler), outputs


def names(tools):
    return [tool.metadata.name for tool in tools]


class TestTheRetrieverAsATool:
    def test_the_model_reads_texts_and_the_program_keeps_explained_nodes(self, retriever):
        output = create_search_tool(retriever, "search", "위성 자료를 찾는다.").call("지구를 도는 위성")
        assert output.content.startswith(f"[{citation(output.raw_output[0].node_id)}] 출처: 교과서\n\n{SPACE}")
        assert "token_explanations" not in output.content
        assert output.raw_output == retriever.retrieve("지구를 도는 위성")
        assert output.raw_output[0].metadata["token_explanations"]
        assert (output.tool_name, output.raw_input) == ("search", {"input": "지구를 도는 위성"})

    async def test_the_name_of_the_argument_is_not_searched_for(self, retriever):
        retriever.add_nodes([TextNode(id_="is", text="input is output")])
        search = create_search_tool(retriever.with_options(similarity_top_k=10), "search", "찾는다.")
        for output in (search.call(input="위성"), await search.acall(input="위성"), await search.acall("위성")):
            assert output.raw_input == {"input": "위성"}
            assert [hit.text for hit in output.raw_output] == [SPACE]
        core = RetrieverTool.from_defaults(retriever.with_options(similarity_top_k=10)).call(input="위성")
        assert "is" in [hit.node_id for hit in core.raw_output]  # what is avoided here

    async def test_nothing_found_is_said_in_words(self, retriever):
        search = create_search_tool(retriever.with_filters({"출처": "없음"}), "search", "찾는다.", no_match="없습니다.")
        assert (search.call("위성").content, (await search.acall("위성")).content) == ("없습니다.", "없습니다.")
        for empty in ((), ("",), ("  ",)):
            with pytest.raises(InvalidParameterError, match="without words"):
                search.call(*empty)

    async def test_postprocessors_are_applied(self, retriever):
        cutoff = SimilarityPostprocessor(similarity_cutoff=1e9)
        search = create_search_tool(retriever, "search", "찾는다.", node_postprocessors=[cutoff])
        assert search.call("위성").raw_output == (await search.acall("위성")).raw_output == []

    @an_agent_runs
    async def test_an_agent_calls_it_and_never_sees_an_explanation(self, retriever):
        llm = ScriptedLLM(lines=[calling("search", input="지구를 도는 위성"), answer("지구 궤도를 돕니다.")])
        search = create_search_tool(retriever, "search", "위성 자료를 찾는다.")
        said, (output,) = await run(ReActAgent(tools=[search], llm=llm, streaming=False), "위성은 어디를 도나요?")
        assert said == "지구 궤도를 돕니다."
        assert SPACE in llm.prompts[1]
        assert "contribution" not in "".join(llm.prompts)
        assert output.raw_output[0].metadata["token_explanations"]


class TestTheRetrievalOfTools:
    def test_the_tools_that_a_request_is_about_come_best_first(self, index, tools):
        found = ToolRetriever(index, tools).retrieve("서울 날씨를 알려 줘")
        assert found[0] is tools[0]
        assert len(found) <= 2

    async def test_the_tokens_that_chose_a_tool_are_kept(self, index, tools):
        retriever = ToolRetriever(index, tools, top_k_tokens=3)
        matches = retriever.choose("위성 영상")
        assert names(retriever.retrieve("위성 영상")) == [match.name for match in matches]
        assert names(await retriever.aretrieve(QueryBundle("위성 영상"))) == [match.name for match in matches]
        assert matches[0].name == "satellite"
        assert {"위성", "영상"} & {part.surface for part in matches[0].explanation.contributions}
        assert len(matches[0].explanation.contributions) <= 3

    def test_instrumentation_sees_what_was_chosen_and_why(self, index, tools):
        class Recorder(BaseEventHandler):
            nodes: list = Field(default_factory=list)

            def handle(self, event, **kwargs):
                if isinstance(event, RetrievalEndEvent):
                    self.nodes += event.nodes

        recorder = Recorder()
        dispatcher = get_dispatcher()
        dispatcher.add_event_handler(recorder)
        try:
            found = ToolRetriever(index, tools).retrieve("위성 영상")
        finally:
            dispatcher.event_handlers.remove(recorder)
        assert [hit.node_id for hit in recorder.nodes] == names(found)
        assert recorder.nodes[0].score > 0
        assert recorder.nodes[0].metadata["token_explanations"]

    def test_below_the_floor_no_tool_is_the_answer(self, encoder, tools):
        with ToolIndex.open(encoder=encoder, score_threshold=1e6) as index:
            assert ToolRetriever(index, tools).retrieve("서울 날씨") == []
        with ToolIndex.open(encoder=encoder) as index:
            assert ToolRetriever(index, tools).retrieve("") == []
            assert ToolRetriever(index, []).retrieve("서울 날씨") == []

    def test_functions_and_postprocessors_serve_too(self, index, tools):
        def plus(a: int, b: int) -> int:
            """두 수를 더한다."""
            return a + b

        (found,) = ToolRetriever(index, [plus]).retrieve("수를 더해 줘")
        assert found.call(1, 2).raw_output == 3
        cutoff = SimilarityPostprocessor(similarity_cutoff=1e9)
        assert ToolRetriever(index, tools, node_postprocessors=[cutoff]).retrieve("서울 날씨") == []

    def test_two_tools_of_one_name_are_refused(self, index, tools):
        with pytest.raises(DuplicateIdError, match="weather"):
            ToolRetriever(index, [*tools, tools[0]])

    def test_agents_may_share_an_index_and_choose_only_their_own_tools(self, index, tools):
        first = ToolRetriever(index, tools[:2])
        second = ToolRetriever(index, tools[2:], keep_others=True)
        assert names(first.retrieve("서울 날씨")) == ["weather"]
        assert "weather" not in names(second.retrieve("서울 날씨"))
        ToolRetriever(index, tools[:1])
        assert index.names() == ["weather"]

    @pytest.mark.new_process
    def test_another_process_finds_the_stored_tools_by_name_and_encodes_none_again(self, encoder, tools, tmp_path):
        path = tmp_path / "tools.db"
        with ToolIndex.open(path, encoder=encoder) as index:
            here = [(match.name, match.score) for match in ToolRetriever(index, tools).choose("서울 날씨를 알려 줘")]
        code = f"""
import json, sys
from llama_index.core.tools import FunctionTool
from pixie_retrievers.llama_index import ToolRetriever
from pixie_retrievers.tools import ToolIndex
def function(thing: str) -> str: ...
tools = [FunctionTool.from_defaults(function, name=name, description=text) for name, text in {ABOUT!r}.items()]
with ToolIndex.open(sys.argv[1]) as index:
    before = index.sparse_retriever.index.stats().generation
    retriever = ToolRetriever(index, tools)
    matches = [(match.name, match.score) for match in retriever.choose("서울 날씨를 알려 줘")]
    print(json.dumps([matches, index.sparse_retriever.index.stats().generation - before]))
"""
        for seed in ("1", "2"):  # the seed of str's hash, which LlamaIndex's own tool nodes take their ids from
            done = subprocess.run(
                [sys.executable, "-c", code, str(path)],
                env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            assert done.returncode == 0, done.stderr
            matches, n_commits = json.loads(done.stdout)
            assert ([tuple(match) for match in matches], n_commits) == (here, 0)

    @an_agent_runs
    async def test_an_agent_is_shown_the_chosen_tools_alone_and_calls_one(self, index, tools):
        retriever = ToolRetriever(index, tools)
        assert isinstance(retriever, ObjectRetriever)
        llm = ScriptedLLM(lines=[calling("weather", thing="서울"), answer("맑습니다.")])
        agent = ReActAgent(name="agent", description="돕는다.", tool_retriever=retriever, llm=llm, streaming=False)
        said, (output,) = await run(AgentWorkflow(agents=[agent]), "서울 날씨를 알려 줘")
        assert (said, output.content) == ("맑습니다.", "weather: 서울")
        assert ABOUT["weather"] in llm.prompts[0]
        assert ABOUT["train"] not in llm.prompts[0]

    @an_agent_runs
    async def test_a_tool_is_there_when_the_agent_calls_it_whatever_else_has_its_words(self, encoder):
        """An agent that calls a tool asks the retriever for it once more, by its name."""
        others = [tool(f"train_{word}", f"train {word}: 기차표를 예매한다.") for word in ("ticket", "list", "map")]
        named = tool("tr", "기차표를 예매한다.")
        with ToolIndex.open(encoder=encoder, k=1) as index:
            retriever = ToolRetriever(index, [*others, named])
            assert names(retriever.retrieve("tr"))[0] == "tr"
            assert names(await retriever.aretrieve("tr"))[0] == "tr"

    @an_agent_runs
    async def test_in_a_conversation_an_answer_keeps_the_tools_of_the_request(self, index, tools):
        memory = ChatMemoryBuffer.from_defaults(token_limit=100_000, tokenizer_fn=str.split)
        llm = ScriptedLLM(lines=[answer("오늘 날씨 말인가요?"), calling("weather", thing="서울"), answer("맑습니다.")])
        retriever = ToolRetriever(index, tools)
        agent = ReActAgent(tool_retriever=retriever.for_conversation(memory), llm=llm, streaming=False)
        await agent.run(user_msg="서울 날씨를 알려 줘", memory=memory)
        handler = agent.run(user_msg="네, 그렇게 해 주세요", memory=memory)
        outputs = [event.tool_output async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
        assert [output.content for output in outputs] == ["weather: 서울"]
        assert ABOUT["weather"] in llm.prompts[1]
        assert retriever.retrieve("네, 그렇게 해 주세요") == []

    async def test_tools_that_the_conversation_has_called_stay_and_some_are_always_there(self, index, tools):
        memory = ChatMemoryBuffer.from_defaults(token_limit=100_000, tokenizer_fn=str.split)
        retriever = ToolRetriever(index, tools, always_include=["recipe"]).for_conversation(memory)
        assert names(retriever.retrieve("전자 우편을 보내 줘")) == ["mail", "recipe"]
        call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        memory.put(ChatMessage(role="user", content="서울 날씨를 알려 줘"))
        memory.put(ChatMessage(role="assistant", content=None, additional_kwargs={"tool_calls": [call]}))
        memory.put(ChatMessage(role="tool", content="맑음", additional_kwargs={"tool_call_id": "1"}))
        memory.put(ChatMessage(role="user", content="전자 우편을 보내 줘"))
        for found in (retriever.retrieve("전자 우편을 보내 줘"), await retriever.aretrieve("전자 우편을 보내 줘")):
            assert names(found) == ["mail", "weather", "recipe"]
        assert [match.name for match in retriever.choose("전자 우편을 보내 줘")] == ["mail"]
        with pytest.raises(InvalidParameterError, match="always_include names 'recipes'"):
            ToolRetriever(index, tools, always_include=["recipes"])

    @an_agent_runs
    async def test_an_agent_without_a_fitting_tool_answers_by_itself(self, encoder, tools):
        with ToolIndex.open(encoder=encoder, score_threshold=1e6) as index:
            llm = ScriptedLLM(lines=[answer("모릅니다.")])
            agent = ReActAgent(tool_retriever=ToolRetriever(index, tools), llm=llm, streaming=False)
            assert await run(agent, "서울 날씨를 알려 줘") == ("모릅니다.", [])
        assert not [text for text in ABOUT.values() if text in llm.prompts[0]]
