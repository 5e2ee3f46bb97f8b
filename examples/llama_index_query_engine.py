"""A LlamaIndex query engine that answers from Korean passages and says why each one was found.

The language model here is a script, so that the example runs anywhere: put your own in its place. The encoder is the
small bundled one: leave ``encoder`` out for the default model.

    pip install "pixie-retrievers[llama-index]"
    python examples/llama_index_query_engine.py
"""

from __future__ import annotations

from typing import Any

from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from pixie_retrievers import PixieEncoder
from pixie_retrievers.llama_index import PixieRetriever

QUESTION = "지구 궤도를 도는 위성은 무슨 일을 하나요?"

NODES = [
    TextNode(text="인공위성은 지구 궤도를 돌면서 날씨와 지형을 관측한다.", metadata={"field": "우주", "year": 2021}),
    TextNode(text="로켓은 인공위성을 싣고 우주로 올라간다.", metadata={"field": "우주", "year": 2024}),
    TextNode(text="벼는 봄에 모내기를 하고 가을에 거둔다.", metadata={"field": "농업", "year": 2021}),
    TextNode(text="김치는 배추를 소금에 절여 담근다.", metadata={"field": "음식", "year": 2023}),
]


class ScriptedLLM(CustomLLM):
    """Quotes the first passage of the prompt, where a real model would write an answer."""

    @property
    def metadata(self) -> LLMMetadata:
        """A context window and an output that fit the example."""
        return LLMMetadata(context_window=4096, num_output=256)

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:  # noqa: ARG002
        """Answer with the first line of the prompt that is one of the passages."""
        assert "token_explanations" not in prompt, "explanations are for people, not for the model"
        passages = {node.text for node in NODES}
        quoted = next(line for line in prompt.splitlines() if line in passages)
        return CompletionResponse(text=f"문서에 따르면 {quoted}")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The same in one piece."""
        yield self.complete(prompt, formatted, **kwargs)


def main() -> None:
    """Index, ask, print; then ask once more within a filter."""
    with PixieRetriever.from_nodes(NODES, encoder=PixieEncoder.bundled(), similarity_top_k=2) as retriever:
        engine = RetrieverQueryEngine.from_args(retriever, llm=ScriptedLLM())
        response = engine.query(QUESTION)
        print(f"질문: {QUESTION}\n답: {response}\n")
        for hit in response.source_nodes:
            print(f"{hit.score:6.2f}  {hit.text}")
            for part in hit.metadata["token_explanations"][:3]:
                how = "글에 있는 말" if part["in_query"] and part["in_document"] else "모델이 넓힌 말"
                weights = f"{part['query_weight']:.2f} x {part['document_weight']:.2f}"
                print(f"        {part['contribution']:5.2f} = {weights}  {part['surface']}  ({how})")
        assert str(response) == f"문서에 따르면 {NODES[0].text}"
        assert [hit.node.hash for hit in response.source_nodes] == [node.hash for node in NODES[:2]]
        parts = response.source_nodes[0].metadata["token_explanations"]
        assert {"지구", "위성"} <= {part["surface"] for part in parts}
        assert all(part["contribution"] == part["query_weight"] * part["document_weight"] for part in parts)

        recent = MetadataFilters(filters=[MetadataFilter(key="year", operator=FilterOperator.GTE, value=2023)])
        found = retriever.with_filters(recent).retrieve(QUESTION)
        print(f"\n2023년부터: {found[0].text}")
        assert found[0].node_id == NODES[1].node_id


if __name__ == "__main__":
    main()
