"""A sparse and a dense retriever joined, and what each of them said about every passage. Needs no network.

    pip install "pixie-retrievers[llama-index]"
    python examples/llama_index_hybrid.py

The dense vectors are latent semantic analysis of the passages themselves, computed here: dense vectors that need no
download, and no match for an embedding model. Put your own in their place, and leave out ``encoder`` for the default
model.
"""

from __future__ import annotations

import json
import warnings
from importlib.resources import files
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import TextNode
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from pixie_retrievers import PixieEncoder
from pixie_retrievers.llama_index import HybridRetriever, PixieRetriever

# Each part alone puts the answer second.
QUESTION = "주택 대출 받을 때 이자율이 안 바뀌는 게 좋을까요, 바뀌는 게 좋을까요?"


class LatentSemanticAnalysis(BaseEmbedding):
    """Groups of letters of the corpus, reduced to 64 dimensions."""

    _model: Any = PrivateAttr()

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        groups = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, to itself
            self._model = make_pipeline(groups, TruncatedSVD(64, random_state=0)).fit(texts)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._model.transform([text])[0].tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def passages() -> list[TextNode]:
    """The passages of ``pixie demo``."""
    lines = files("pixie_retrievers.cli").joinpath("demo_corpus", "passages.jsonl").read_text("utf-8").splitlines()
    return [
        TextNode(
            id_=row["id"], text=row["text"], metadata={"title": row["title"]}, excluded_embed_metadata_keys=["title"]
        )
        for row in map(json.loads, lines)
    ]


def main() -> None:
    """Ask both parts at once, and print what each said."""
    nodes = passages()
    dense = VectorStoreIndex(nodes, embed_model=LatentSemanticAnalysis([node.text for node in nodes]))
    with PixieRetriever.from_nodes(nodes, encoder=PixieEncoder.bundled(), similarity_top_k=10) as sparse:
        parts = {"sparse": sparse, "dense": dense.as_retriever(similarity_top_k=10)}
        found = HybridRetriever(parts, similarity_top_k=3).retrieve(QUESTION)

    print(QUESTION)
    for hit in found:
        print(f"{hit.score:.4f}  {hit.metadata['title']}")
        for name, part in hit.metadata["fusion_parts"].items():
            place = "not found" if part["rank"] is None else f"rank {part['rank']}"
            tokens = ", ".join(one["surface"] for one in part.get("token_explanations", [])[:3])
            print(f"    {name:<6} {place:<9} {part['contribution']:.4f}  {tokens}")

    assert [part["rank"] for part in found[0].metadata["fusion_parts"].values()] == [2, 2]
    assert len(found) == 3
    for hit in found:
        said = hit.metadata["fusion_parts"]
        assert abs(sum(part["contribution"] for part in said.values()) - hit.score) < 1e-12
        assert said["sparse"]["rank"] is None or said["sparse"]["token_explanations"]


if __name__ == "__main__":
    main()
