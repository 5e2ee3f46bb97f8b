"""LlamaIndex's evaluation over our retriever, which finds nothing where nothing matches."""

from __future__ import annotations

import pytest
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.schema import TextNode

from pixie_retrievers.llama_index import PixieRetriever

METRICS = ["hit_rate", "mrr", "precision", "recall", "ap", "ndcg"]


@pytest.fixture
def retriever(encoder):
    nodes = [TextNode(id_="sky", text="위성은 지구를 돈다."), TextNode(id_="farm", text="벼는 논에서 자란다.")]
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        yield retriever


async def test_a_retriever_is_evaluated(retriever):
    evaluator = RetrieverEvaluator.from_metric_names(METRICS, retriever=retriever)
    result = await evaluator.aevaluate("지구를 도는 위성", ["sky"])
    assert result.metric_vals_dict["mrr"] == result.metric_vals_dict["hit_rate"] == 1.0


class Evaluator(RetrieverEvaluator):
    """As docs/llama-index.md has it."""

    async def _aget_retrieved_ids_and_texts(self, query, *args, **kwargs):
        ids, texts = await super()._aget_retrieved_ids_and_texts(query, *args, **kwargs)
        return ids or ["nothing"], texts or [""]


async def test_a_question_that_finds_nothing_scores_nothing_with_what_the_docs_advise(retriever):
    assert retriever.retrieve("zzz") == []
    plain = RetrieverEvaluator.from_metric_names(METRICS, retriever=retriever)
    with pytest.raises(ValueError, match="Retrieved ids"):  # when it does not any more, the docs may forget it
        await plain.aevaluate("zzz", ["sky"])
    result = await Evaluator.from_metric_names(METRICS, retriever=retriever).aevaluate("zzz", ["sky"])
    assert set(result.metric_vals_dict.values()) == {0.0}
