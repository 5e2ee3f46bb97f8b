"""A retrieval-augmented chain in LangChain that says why each passage was found. Needs no network.

    pip install "pixie-retrievers[langchain]"
    python examples/langchain_chain.py

The chat model is scripted, and the encoder is the small one that comes with the package. For real use, put in your own
chat model, and leave out ``encoder`` to get PIXIE.
"""

from operator import itemgetter

from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from pixie_retrievers import PixieEncoder
from pixie_retrievers.langchain import PixieRetriever

DOCUMENTS = [
    Document("누리호는 2022년 6월 21일 두 번째 발사에서 위성을 궤도에 올렸다.", id="nuri", metadata={"year": 2022}),
    Document("다누리는 한국의 첫 달 탐사선으로 달 궤도에서 표면을 촬영한다.", id="danuri", metadata={"year": 2022}),
    Document("천리안 2B호는 해양과 환경을 살피는 정지궤도 위성이다.", id="chollian", metadata={"year": 2020}),
    Document("김치는 배추를 소금에 절여 양념과 함께 발효시킨 음식이다.", id="kimchi", metadata={"year": 2019}),
]
QUESTION = "위성을 궤도에 올린 로켓은 언제 발사됐나요?"
ANSWER = "누리호가 2022년 6월 21일에 위성을 궤도에 올렸습니다. [nuri]"

prompt = ChatPromptTemplate.from_messages(
    [("system", "아래 자료만으로 답하고, 쓴 자료를 [ ]에 적으세요.\n\n{context}"), ("human", "{question}")]
)
model = FakeListChatModel(responses=[ANSWER])


def as_context(found: list[Document]) -> str:
    """Only ids and texts reach the model: the explanations are for people."""
    return "\n".join(f"[{document.id}] {document.page_content}" for document in found)


def explain(document: Document) -> str:
    score, shown = document.metadata["score"], document.metadata["token_explanations"]
    parts = [f"{one['surface']} {one['contribution']:.2f}" for one in shown]
    rest = score - sum(one["contribution"] for one in shown)
    if rest > 0.005:
        parts.append(f"other tokens {rest:.2f}")
    return f"{document.id} {score:.2f} = {' + '.join(parts)}"


with PixieRetriever.from_documents(DOCUMENTS, encoder=PixieEncoder.bundled(), k=2, top_k_tokens=4) as retriever:
    chain = (
        RunnablePassthrough.assign(documents=itemgetter("question") | retriever)
        .assign(context=lambda state: as_context(state["documents"]))
        .assign(answer=prompt | model | StrOutputParser())
    )
    state = chain.invoke({"question": QUESTION})
    until_2020 = retriever.invoke(QUESTION, filter={"year": {"$lte": 2020}})

print(QUESTION)
print(state["answer"])
for document in state["documents"]:
    print(explain(document))

assert state["answer"] == ANSWER
assert state["documents"][0].id == "nuri"
assert state["context"].startswith("[nuri] 누리호는")
assert until_2020[0].id == "chollian"
for document in state["documents"]:
    shown = document.metadata["token_explanations"]
    assert 1 <= len(shown) <= 4
    assert sum(one["contribution"] for one in shown) <= document.metadata["score"] + 1e-5
