"""An agent with 200 tools, whose model is shown the few that a request is about. Needs no network.

    pip install "pixie-retrievers[langchain]" "langchain>=1.0"
    python examples/langchain_many_tools.py

The chat model is scripted, and the encoder is the small one that comes with the package. For real use, put in your own
chat model, and leave out ``encoder`` to get PIXIE; ``path`` keeps the tools' index from one start to the next.
"""

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool

from pixie_retrievers import PixieEncoder
from pixie_retrievers.langchain import ToolSelector
from pixie_retrievers.tools import ToolIndex

THINGS = {
    "weather": "날씨",
    "train": "기차표",
    "hotel": "호텔 방",
    "mail": "전자 우편",
    "calendar": "일정",
    "invoice": "세금 계산서",
    "stock": "주식",
    "loan": "대출",
    "satellite": "위성 영상",
    "crop": "농작물",
    "hospital": "병원 진료",
    "medicine": "약",
    "library": "도서관 책",
    "lecture": "대학 강의",
    "parcel": "택배",
    "recipe": "요리법",
    "translation": "번역",
    "news": "뉴스 기사",
    "music": "음악",
    "map": "지도",
}
ACTIONS = {
    "search": "검색한다",
    "reserve": "예약한다",
    "cancel": "취소한다",
    "list": "목록을 보여 준다",
    "summarize": "요약한다",
    "compare": "비교한다",
    "share": "공유한다",
    "print": "인쇄한다",
    "rate": "평가한다",
    "archive": "보관한다",
}


def make_tool(thing: str, action: str) -> StructuredTool:
    return StructuredTool.from_function(
        lambda: "끝났습니다.", name=f"{action}_{thing}", description=f"{THINGS[thing]}: {ACTIONS[action]}."
    )


TOOLS = [make_tool(thing, action) for thing in THINGS for action in ACTIONS]


class ScriptedModel(GenericFakeChatModel):
    """Says its messages one after the other, and notes the tools it is shown."""

    shown: list[list[str]]

    def bind_tools(self, tools, **kwargs):  # noqa: ARG002
        self.shown.append([tool.name for tool in tools])
        return self


reserve = {"name": "reserve_train", "args": {}, "id": "call-1"}
model = ScriptedModel(messages=iter([AIMessage("", tool_calls=[reserve]), AIMessage("예약했습니다.")]), shown=[])

with ToolIndex.open(encoder=PixieEncoder.bundled(), k=5) as index:
    agent = create_agent(model, TOOLS, middleware=[ToolSelector(index, top_k_tokens=3)])
    messages = agent.invoke({"messages": [("human", "부산 가는 기차표를 예약해 줘")]})["messages"]
    n_tools = len(index)

print(f"{n_tools} tools, of which the model was shown:")
for choice in messages[1].response_metadata["chosen_tools"]:
    reasons = ", ".join(f"{one['surface']} {one['contribution']:.2f}" for one in choice["token_explanations"])
    print(f"  {choice['score']:5.2f}  {choice['name']:<16} {reasons}")
print(messages[-1].content)

assert n_tools == len(TOOLS) == 200
assert "reserve_train" in model.shown[0]
assert all(len(shown) <= 5 for shown in model.shown)
assert messages[1].response_metadata["chosen_tools"][0]["name"] == "reserve_train"
assert [message.content for message in messages if message.type == "tool"] == ["끝났습니다."]
assert messages[-1].content == "예약했습니다."
