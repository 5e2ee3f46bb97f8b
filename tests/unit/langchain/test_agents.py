"""The tool selector inside a real LangChain agent whose model follows a script."""

from __future__ import annotations

import asyncio
import sys

import pytest
from agents import call, script
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.tools import ToolIndex

agents = pytest.importorskip("langchain.agents")

from pixie_retrievers.langchain import PixieRetriever, ToolSelector, create_search_tool  # noqa: E402  # after the skip


def tool(name, description):
    return StructuredTool.from_function(lambda: f"{name} 결과", name=name, description=description)


TOOLS = [
    tool("weather", "날씨 기온"),
    tool("mail", "우편 보내기"),
    tool("stock", "주가 조회"),
    tool("finish", "끝내기"),
]


@pytest.fixture
def index(words):
    with ToolIndex.open(encoder=words, k=2) as index:
        yield index


def run(selector, model, *messages, tools=TOOLS):
    agent = agents.create_agent(model, tools, middleware=[selector])
    return agent.invoke({"messages": [HumanMessage(message) for message in messages]})["messages"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agent_searches_and_its_state_keeps_the_explanations(words, asynchronous):
    with PixieRetriever.from_texts(["위성 발사"], ids=["a"], encoder=words) as retriever:
        search = create_search_tool(retriever, "search", "기사를 찾는다.")
        agent = agents.create_agent(script(call("search", query="위성"), "발사했다."), [search])
        asked = {"messages": [HumanMessage("위성은?")]}
        state = await agent.ainvoke(asked) if asynchronous else agent.invoke(asked)
    (found,) = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert found.content == "[a] 위성 발사"
    assert found.artifact[0].metadata["token_explanations"][0]["token"] == "위성"


def test_the_model_gets_the_tools_that_the_request_is_about(index):
    model = script("맑다.")
    run(ToolSelector(index), model, "오늘 날씨 알려 줘")
    assert model.tools_seen == [["weather"]]


def test_the_last_message_of_the_user_decides(index):
    model = script("보냈다.")
    run(ToolSelector(index), model, "오늘 날씨", "우편 하나")
    assert model.tools_seen == [["mail"]]


def test_an_answer_keeps_the_tools_of_the_request_and_of_what_the_model_offered(index):
    asked = [HumanMessage("오늘 날씨 기온"), AIMessage("우편 보내기 할까요?"), HumanMessage("네, 그렇게 해 주세요")]
    model = script("맑다.", "보냈다.")
    agent = agents.create_agent(model, TOOLS, middleware=[ToolSelector(index)])
    agent.invoke({"messages": [*asked[:1], AIMessage("어디 말인가요?"), *asked[2:]]})
    agent.invoke({"messages": [HumanMessage("안녕"), *asked[1:]]})
    assert model.tools_seen == [["weather"], ["mail"]]


def test_what_the_model_says_while_it_works_is_not_a_request(index):
    model = script(AIMessage("주가 조회 먼저", tool_calls=call("weather").tool_calls), "맑다.")
    run(ToolSelector(index), model, "오늘 날씨")
    assert model.tools_seen == [["weather"], ["weather"]]


class Listener(BaseCallbackHandler):
    def __init__(self):
        self.heard = []

    def on_custom_event(self, name, data, **kwargs):
        self.heard.append((name, data))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="an asynchronous call does not know of its run")
async def test_callbacks_hear_of_the_choice_and_its_tokens_before_the_model_is_called(index):
    agent = agents.create_agent(script("맑다.", "맑다.", "맑다."), TOOLS, middleware=[ToolSelector(index)])
    asked = {"messages": [HumanMessage("날씨 기온")]}
    listeners = [Listener(), Listener()]
    state = agent.invoke(asked, {"callbacks": listeners[:1]})
    await agent.ainvoke(asked, {"callbacks": listeners[1:]})
    events = [event async for event in agent.astream_events(asked, version="v2")]
    ((name, data),) = listeners[0].heard
    assert name == "chosen_tools"
    assert data["chosen_tools"] == state["messages"][-1].response_metadata["chosen_tools"]
    assert [one["token"] for one in data["chosen_tools"][0]["token_explanations"]] == ["날씨", "기온"]
    assert listeners[1].heard == listeners[0].heard
    kinds = [event["event"] for event in events]
    (told,) = [event for event in events if event["event"] == "on_custom_event"]
    assert told["data"] == data
    assert kinds.index("on_custom_event") < kinds.index("on_chat_model_start")


def test_a_tool_that_is_always_included_must_be_there(index):
    with pytest.raises(InvalidParameterError, match=r"always_include names 'fnish'.*there are finish, mail"):
        run(ToolSelector(index, always_include=["fnish"]), script("맑다."), "날씨")
    provided = {"type": "web_search", "name": "web_search"}
    model = script("맑다.")
    run(ToolSelector(index, always_include=["web_search"]), model, "날씨", tools=[*TOOLS, provided])
    assert sorted(model.tools_seen[0]) == ["weather", "web_search"]


def test_a_caller_may_say_what_to_search_for(index):
    model = script("좋다.")
    everything = ToolSelector(index, request_text=lambda request: " ".join(m.text for m in request.messages))
    run(everything, model, "오늘 날씨", "우편 하나")
    assert sorted(model.tools_seen[0]) == ["mail", "weather"]


def test_tools_already_called_and_those_always_included_are_kept(index):
    model = script(call("weather"), "맑다.")
    selector = ToolSelector(index, always_include=["finish"])
    messages = run(selector, model, "날씨")
    assert [m.content for m in messages if isinstance(m, ToolMessage)] == ["weather 결과"]
    assert model.tools_seen == [["weather", "finish"], ["weather", "finish"]]
    model = script("좋다.")
    agent = agents.create_agent(model, TOOLS, middleware=[selector])
    agent.invoke({"messages": [*messages, HumanMessage("이제 주가")]})
    assert model.tools_seen == [["weather", "stock", "finish"]]


def test_no_tool_is_an_answer(index):
    model = script("모른다.")
    messages = run(ToolSelector(index), model, "바다는 왜 푸른가")
    assert model.tools_seen in ([], [[]])
    assert messages[-1].response_metadata["chosen_tools"] == []
    index.score_threshold = 2.0
    model = script("모른다.")
    run(ToolSelector(index), model, "날씨")
    assert model.tools_seen in ([], [[]])


def test_the_models_message_says_which_tokens_chose_each_tool(index):
    chosen = run(ToolSelector(index), script("맑다."), "날씨 기온 우편")[-1].response_metadata["chosen_tools"]
    assert [(one["name"], one["score"]) for one in chosen] == [("weather", 2.0), ("mail", 1.0)]
    assert [one["token"] for one in chosen[1]["token_explanations"]] == ["우편"]
    silent = ToolSelector(index, top_k_tokens=0)
    assert run(silent, script("맑다."), "날씨")[-1].response_metadata["chosen_tools"] == [
        {"name": "weather", "score": 1.0}
    ]


def test_tools_are_indexed_once_and_again_when_they_change(index, words, monkeypatch):
    encoded = []
    encode = words.encode_documents
    monkeypatch.setattr(
        words, "encode_documents", lambda texts, **options: encoded.extend(texts) or encode(texts, **options)
    )
    selector = ToolSelector(index)
    run(selector, script("맑다."), "날씨")
    assert len([text for text in encoded if text]) == 4
    encoded.clear()
    run(selector, script("맑다."), "날씨")
    assert encoded == []
    model = script("맑다.")
    run(selector, model, "풍향", tools=[tool("weather", "풍향 풍속"), *TOOLS[1:]])
    assert [text for text in encoded if text] == ["weather: 풍향 풍속"]
    assert model.tools_seen == [["weather"]]


def test_agents_with_other_tools_may_share_an_index(index):
    one, other = script("하나."), script("둘.")
    run(ToolSelector(index), one, "날씨", tools=TOOLS[:2])
    run(ToolSelector(index), other, "날씨", tools=[tool("diving", "바다 날씨")])
    assert (one.tools_seen, other.tools_seen) == ([["weather"]], [["diving"]])


def test_tools_of_the_provider_are_left_alone(index):
    model = script("찾았다.")
    run(ToolSelector(index), model, "날씨", tools=[*TOOLS, {"type": "web_search", "name": "web_search"}])
    assert sorted(model.tools_seen[0]) == ["weather", "web_search"]


async def test_the_event_loop_keeps_running_while_tools_are_chosen(index, words):
    model = script("맑다.")
    agent = agents.create_agent(model, TOOLS, middleware=[ToolSelector(index)])
    words.gate.clear()
    words.waiting.clear()
    running = asyncio.create_task(agent.ainvoke({"messages": [HumanMessage("날씨")]}))
    assert await asyncio.to_thread(words.waiting.wait, 20)
    assert not running.done()
    words.gate.set()
    last = (await running)["messages"][-1]
    assert isinstance(last, AIMessage)
    assert last.response_metadata["chosen_tools"][0]["name"] == "weather"
    assert model.tools_seen == [["weather"]]
