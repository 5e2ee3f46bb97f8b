"""Sparse and dense retrieval joined, and what each of them said about every passage. Needs no network.

    pip install "pixie-retrievers[langchain]"
    python examples/langchain_hybrid.py

The dense vectors are latent semantic analysis, computed here from the passages themselves: honest dense vectors that
need no download, and no match for an embedding model. For real use, put in your own embeddings, and leave out
``encoder`` to get PIXIE.
"""

import json
import warnings
from importlib.resources import files

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from pixie_retrievers import PixieEncoder
from pixie_retrievers.langchain import HybridRetriever, PixieRetriever

rows = files("pixie_retrievers.cli").joinpath("demo_corpus", "passages.jsonl").read_text("utf-8").splitlines()
DOCUMENTS = [
    Document(row["text"], id=row["id"], metadata={"title": row["title"], "year": row["year"]})
    for row in map(json.loads, rows)
]
# Each part alone puts the answer second. Over the demo's 153 questions the answer comes first for 113 with the sparse
# part, 100 with the dense one, and 116 with both.
QUESTION = "주택 대출 받을 때 이자율이 안 바뀌는 게 좋을까요, 바뀌는 게 좋을까요?"


class LatentSemanticAnalysis(Embeddings):
    """Letter groups of the corpus, reduced to 64 dimensions."""

    def __init__(self, texts: list[str]) -> None:
        groups = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, to itself
            self._model = make_pipeline(groups, TruncatedSVD(64, random_state=0)).fit(texts)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._model.transform(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


dense = InMemoryVectorStore(LatentSemanticAnalysis([document.page_content for document in DOCUMENTS]))
dense.add_documents(DOCUMENTS)

with PixieRetriever.from_documents(DOCUMENTS, encoder=PixieEncoder.bundled(), k=10, top_k_tokens=3) as sparse:
    parts = {"sparse": sparse, "dense": dense.as_retriever(search_kwargs={"k": 10})}
    found = HybridRetriever(retrievers=parts, k=3).invoke(QUESTION)

print(QUESTION)
for document in found:
    print(f"{document.metadata['score']:.4f}  {document.metadata['title']}")
    for name, part in document.metadata["fusion_parts"].items():
        place = "not found" if part["rank"] is None else f"rank {part['rank']}"
        tokens = ", ".join(one["surface"] for one in part.get("token_explanations", []))
        print(f"    {name:<6} {place:<9} {part['contribution']:.4f}  {tokens}")

assert [part["rank"] for part in found[0].metadata["fusion_parts"].values()] == [2, 2]
assert len(found) == 3
for document in found:
    said = document.metadata["fusion_parts"]
    assert abs(sum(part["contribution"] for part in said.values()) - document.metadata["score"]) < 1e-12
    assert said["sparse"]["rank"] is None or said["sparse"]["token_explanations"]
