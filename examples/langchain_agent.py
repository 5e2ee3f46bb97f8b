"""An agent that searches for itself: the model reads texts, the program keeps the reasons. Needs no network.

    pip install "pixie-retrievers[langchain]" "langchain>=1.0"
    python examples/langchain_agent.py

The chat model is scripted, and the encoder is the small one that comes with the package. For real use, put in your own
chat model, and leave out ``encoder`` to get PIXIE.
"""

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage

from pixie_retrievers import PixieEncoder
from pixie_retrievers.langchain import PixieRetriever, create_search_tool

DOCUMENTS = [
    Document("누리호는 2022년 6월 21일 두 번째 발사에서 위성을 궤도에 올렸다.", id="nuri"),
    Document("다누리는 한국의 첫 달 탐사선으로 달 궤도에서 표면을 촬영한다.", id="danuri"),
    Document("김치는 배추를 소금에 절여 양념과 함께 발효시킨 음식이다.", id="kimchi"),
]
ANSWER = "2022년 6월 21일입니다. [nuri]"


class ScriptedModel(GenericFakeChatModel):
    """Says its messages one after the other, whatever it is asked."""

    def bind_tools(self, tools, **kwargs):  # noqa: ARG002
        return self


search = {"name": "search_articles", "args": {"query": "위성을 궤도에 올린 발사"}, "id": "call-1"}
model = ScriptedModel(messages=iter([AIMessage("", tool_calls=[search]), AIMessage(ANSWER)]))

with PixieRetriever.from_documents(DOCUMENTS, encoder=PixieEncoder.bundled(), k=2, top_k_tokens=4) as retriever:
    tool = create_search_tool(retriever, "search_articles", "우주와 음식에 관한 기사를 찾는다.")
    agent = create_agent(model, [tool], system_prompt="기사에 있는 것만 답하고, 쓴 기사를 [ ]에 적으세요.")
    messages = agent.invoke({"messages": [("human", "위성은 언제 발사됐나요?")]})["messages"]

(result,) = [message for message in messages if isinstance(message, ToolMessage)]
print("The model read:")
print(result.content)
print("The program keeps:")
for document in result.artifact:
    reasons = ", ".join(
        f"{one['surface']} {one['contribution']:.2f}" for one in document.metadata["token_explanations"]
    )
    print(f"  {document.id} {document.metadata['score']:.2f}: {reasons}")
print(messages[-1].content)

assert messages[-1].content == ANSWER
assert result.content.startswith("[nuri] 누리호는")
assert "contribution" not in result.content
assert result.artifact[0].metadata["token_explanations"]
