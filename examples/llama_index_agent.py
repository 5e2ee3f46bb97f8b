"""An agent with 201 tools that is shown the few its request is about; one of them searches, and says why it found.

    pip install "pixie-retrievers[llama-index]"
    python examples/llama_index_agent.py

The language model is a script and the encoder the small bundled one, so that the example runs anywhere: put your own
model in its place, and leave out ``encoder`` for the default one; ``path`` keeps the tools' index for the next start.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.agent.workflow import ReActAgent, ToolCallResult
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool

from pixie_retrievers import PixieEncoder
from pixie_retrievers.llama_index import PixieRetriever, ToolRetriever, create_search_tool
from pixie_retrievers.tools import ToolIndex

REQUEST = "위성 소식을 찾아서 요약해 줘. 누리호는 언제 위성을 올렸어?"

NODES = [
    TextNode(text="누리호는 2022년 6월 21일 위성을 궤도에 올렸다."),
    TextNode(text="김치는 배추를 소금에 절여 발효시킨 음식이다."),
]
THINGS = {
    "weather": "날씨",
    "train": "기차표",
    "hotel": "호텔 방",
    "mail": "전자 우편",
    "calendar": "일정",
    "invoice": "세금 계산서",
    "stock": "주식",
    "loan": "대출",
    "crop": "농작물",
    "hospital": "병원 진료",
    "medicine": "약",
    "library": "도서관 책",
    "lecture": "대학 강의",
    "parcel": "택배",
    "recipe": "요리법",
    "translation": "번역",
    "court": "재판",
    "music": "음악",
    "map": "지도",
    "insurance": "보험",
}
ACTIONS = {
    "reserve": "예약한다",
    "cancel": "취소한다",
    "list": "목록을 보여 준다",
    "summarize": "요약한다",
    "compare": "비교한다",
    "share": "공유한다",
    "print": "인쇄한다",
    "rate": "평가한다",
    "archive": "보관한다",
    "delete": "지운다",
}


def make_tool(thing: str, action: str) -> FunctionTool:
    """One of the 200 other tools."""
    return FunctionTool.from_defaults(
        lambda: "끝났습니다.", name=f"{action}_{thing}", description=f"{THINGS[thing]}: {ACTIONS[action]}."
    )


class ScriptedLLM(CustomLLM):
    """Calls the search tool, then answers with the first passage that it got."""

    prompts: list[str] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        """A context window that no list of 200 tools would fit into."""
        return LLMMetadata(context_window=4096, num_output=256)

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:  # noqa: ARG002
        """The next line of the script."""
        self.prompts.append(prompt)
        if len(self.prompts) == 1:
            return CompletionResponse(
                text='Thought: I need a tool.\nAction: search_news\nAction Input: {"input": "누리호 위성"}'
            )
        quoted = next(node.text for node in NODES if node.text in prompt)
        return CompletionResponse(text=f"Thought: I can answer without using any more tools.\nAnswer: {quoted}")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The same in one piece."""
        yield self.complete(prompt, formatted, **kwargs)


async def main() -> None:
    """Choose tools, run the agent, print what was chosen and found, and why."""
    encoder = PixieEncoder.bundled()
    with (
        PixieRetriever.from_nodes(NODES, encoder=encoder, similarity_top_k=1) as retriever,
        ToolIndex.open(encoder=encoder, k=5, score_threshold=1.0) as index,
    ):
        search = create_search_tool(retriever, "search_news", "우주와 위성 소식을 찾는다.")
        others = [make_tool(thing, action) for thing in THINGS for action in ACTIONS]
        tools = ToolRetriever(index, [search, *others])
        chosen = tools.choose(REQUEST)
        print(f"{len(index)} tools, of which the model is shown:")
        for match in chosen:
            reasons = ", ".join(f"{part.surface} {part.contribution:.2f}" for part in match.explanation.contributions)
            print(f"  {match.score:5.2f}  {match.name:<19} {reasons}")

        llm = ScriptedLLM()
        run = ReActAgent(tool_retriever=tools, llm=llm, streaming=False).run(user_msg=REQUEST)
        outputs = [event.tool_output async for event in run.stream_events() if isinstance(event, ToolCallResult)]
        answer = str(await run)

    (hit,) = outputs[0].raw_output
    print(f"\n{REQUEST}\n{answer}\nfound by:")
    for part in hit.metadata["token_explanations"][:3]:
        print(f"  {part['contribution']:5.2f}  {part['surface']}")

    assert len(others) == 200
    assert chosen[0].name == "search_news"
    assert len(chosen) <= 5
    assert answer == NODES[0].text
    assert "search_news" in llm.prompts[0]
    shown = [tool.metadata.name for tool in others if f"> Tool Name: {tool.metadata.name}\n" in llm.prompts[0]]
    assert set(shown) == {match.name for match in chosen} - {"search_news"}
    assert "contribution" not in "".join(llm.prompts), "explanations are for people, not for the model"


if __name__ == "__main__":
    asyncio.run(main())
