"""LlamaIndex's node postprocessors see explained nodes as they see plain ones, and leave the explanations on them."""

from __future__ import annotations

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import (
    AutoPrevNextNodePostprocessor,
    LLMRerank,
    LongContextReorder,
    MetadataReplacementPostProcessor,
    PIINodePostprocessor,
    PrevNextNodePostprocessor,
    SentenceEmbeddingOptimizer,
    SentenceTransformerRerank,
    SimilarityPostprocessor,
    TimeWeightedPostprocessor,
)
from llama_index.core.postprocessor.rankGPT_rerank import RankGPTRerank
from llama_index.core.schema import Document, MetadataMode, QueryBundle
from llama_index.core.storage.docstore import SimpleDocumentStore

from pixie_retrievers.llama_index import PixieRetriever

QUERY = QueryBundle("지구를 도는 위성")
SENTENCES = [
    "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
    "그 사진은 지도를 만드는 데 쓰인다.",
    "달은 지구를 도는 하나뿐인 자연 위성이다.",
    "벼는 물을 채운 논에서 자란다.",
]


class ScriptedLLM(CustomLLM):
    """Gives one answer, and keeps the prompts it was asked."""

    answer: str
    prompts: list[str] = Field(default_factory=list)

    @property
    def metadata(self):
        return LLMMetadata(context_window=4096, num_output=256)

    def complete(self, prompt, formatted=False, **kwargs):
        self.prompts.append(prompt)
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield self.complete(prompt)


class Letters(BaseEmbedding):
    """A dense embedding of a kind: how often each of some letters occurs."""

    def _get_text_embedding(self, text):
        return [1e-3 + text.count(letter) for letter in "지구도는위성"]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


@pytest.fixture(scope="module")
def nodes():
    """A document cut into its sentences, each with the text around it."""
    document = Document(text=" ".join(SENTENCES), id_="책")
    splitter = SentenceSplitter(
        chunk_size=30, chunk_overlap=0, tokenizer=list, include_metadata=False, id_func=lambda n, _: f"n{n}"
    )
    nodes = splitter([document])
    assert len(nodes) == len(SENTENCES)
    for node in nodes:
        node.metadata = {"window": f"({node.text})", "__last_accessed__": 0.0}
    return nodes


@pytest.fixture(scope="module")
def docstore(nodes):
    docstore = SimpleDocumentStore()
    docstore.add_documents(nodes)
    return docstore


@pytest.fixture(scope="module")
def pixie(nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder, similarity_top_k=2) as pixie:
        yield pixie


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """A cross-encoder that was never trained: small enough to be made here."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("cross-encoder")
    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    words = dict.fromkeys(" ".join(SENTENCES).replace(".", "").split())
    vocabulary = special | {word: number for number, word in enumerate(words, len(special))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        num_labels=1,
    )
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    return str(folder)


def seen(hits):
    """What comes out, but for the explanations."""
    return [
        (hit.node_id, hit.score, hit.node.hash, hit.node.get_content(MetadataMode.LLM), hit.node.get_content())
        for hit in hits
    ]


CASES = {
    "a similarity cutoff": lambda **_: SimilarityPostprocessor(similarity_cutoff=0.1),
    "a cutoff above all": lambda **_: SimilarityPostprocessor(similarity_cutoff=1e9),
    "reordering for long contexts": lambda **_: LongContextReorder(),
    "replacing text by metadata": lambda **_: MetadataReplacementPostProcessor(target_metadata_key="window"),
    "the next node": lambda docstore, **_: PrevNextNodePostprocessor(docstore=docstore, num_nodes=1),
    "nodes before and after": lambda docstore, **_: PrevNextNodePostprocessor(docstore=docstore, mode="both"),
    "the next node where a model says so": lambda docstore, **_: AutoPrevNextNodePostprocessor(
        docstore=docstore, llm=ScriptedLLM(answer="NEXT")
    ),
    "reranking by a model": lambda **_: LLMRerank(llm=ScriptedLLM(answer="Doc: 2, Relevance: 9\nDoc: 1, Relevance: 3")),
    "reranking by a listing model": lambda **_: RankGPTRerank(llm=ScriptedLLM(answer="[2] > [1]")),
    "reranking by a cross-encoder": lambda cross_encoder, **_: SentenceTransformerRerank(
        model=cross_encoder, top_n=2, device="cpu", trust_remote_code=False
    ),
    "masking names": lambda **_: PIINodePostprocessor(llm=ScriptedLLM(answer="[가림]\nOutput Mapping:\n{}")),
    "shortening": lambda **_: SentenceEmbeddingOptimizer(
        embed_model=Letters(), percentile_cutoff=1.0, tokenizer_fn=lambda text: [text]
    ),
    "recency": lambda **_: TimeWeightedPostprocessor(now=3600.0, top_k=2, time_access_refresh=False),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_comes_out_with_and_without_explanations(case, pixie, docstore, cross_encoder):
    postprocessor = CASES[case](docstore=docstore, cross_encoder=cross_encoder)
    retrieved = pixie.retrieve(QUERY)
    explanations = {hit.node_id: hit.metadata["token_explanations"] for hit in retrieved}
    assert len(explanations) == 2
    explained = postprocessor.postprocess_nodes(retrieved, query_bundle=QUERY)
    plain = postprocessor.postprocess_nodes(pixie.with_options(top_k_tokens=0).retrieve(QUERY), query_bundle=QUERY)
    assert seen(explained) == seen(plain)
    assert bool(explained) == (case != "a cutoff above all")
    for hit in explained:
        own = explanations.get(hit.node_id)
        # Where neighbours are fetched, core puts a fetched node in the place of a hit of the same id.
        assert hit.metadata.get("token_explanations") in ((own, None) if "node" in case else (own,))
    model = getattr(postprocessor, "llm", None)
    if model is not None:
        assert model.prompts
        assert "contribution" not in "".join(model.prompts)


def test_a_node_that_was_found_keeps_its_explanation_beside_its_neighbours(pixie, docstore):
    hits = pixie.with_options(similarity_top_k=1).retrieve(QUERY)
    both = PrevNextNodePostprocessor(docstore=docstore, mode="both").postprocess_nodes(hits)
    assert len(both) > 1
    assert [hit.node_id for hit in both if "token_explanations" in hit.metadata] == [hits[0].node_id]


def test_a_retrieval_after_a_postprocessor_changed_its_nodes_is_as_before(pixie, cross_encoder):
    before = pixie.retrieve(QUERY)
    keeping = SentenceTransformerRerank(
        model=cross_encoder, top_n=1, device="cpu", trust_remote_code=False, keep_retrieval_score=True
    )
    (kept,) = keeping.postprocess_nodes(pixie.retrieve(QUERY), query_bundle=QUERY)
    assert kept.metadata["retrieval_score"] == {hit.node_id: hit.score for hit in before}[kept.node_id]
    assert pixie.retrieve(QUERY) == before
