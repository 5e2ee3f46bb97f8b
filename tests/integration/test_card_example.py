"""The model card's own example, through the bundled model: the real code against the card's rules in plain Python."""

from __future__ import annotations

import pytest
from reference import Reference
from sentence_transformers import SparseEncoder

import pixie_retrievers
from pixie_retrievers import SparseRetriever

QUERIES = [
    "텔레픽스는 어떤 산업 분야에서 위성 데이터를 활용하나요?",
    "국방 분야에 어떤 위성 서비스가 제공되나요?",
    "텔레픽스의 기술 수준은 어느 정도인가요?",
]
DOCUMENTS = [
    "텔레픽스는 해양, 자원, 농업 등 다양한 분야에서 위성 데이터를 분석하여 서비스를 제공합니다.",
    "정찰 및 감시 목적의 위성 영상을 통해 국방 관련 정밀 분석 서비스를 제공합니다.",
    "TelePIX의 광학 탑재체 및 AI 분석 기술은 Global standard를 상회하는 수준으로 평가받고 있습니다.",
    "텔레픽스는 우주에서 수집한 정보를 분석하여 '우주 경제(Space Economy)'라는 새로운 가치를 창출하고 있습니다.",
    "텔레픽스는 위성 영상 획득부터 분석, 서비스 제공까지 전 주기를 아우르는 솔루션을 제공합니다.",
]


@pytest.fixture(scope="module")
def reference():
    """What the card's sample computes: the model's dense output, weights above 0, special tokens dropped."""
    folder = f"{next(iter(pixie_retrievers.__path__))}/encoder/nano"
    model = SparseEncoder(folder, device="cpu", local_files_only=True).float()

    def rows(embeddings):
        return [dict(enumerate(row)) for row in embeddings.to_dense().float().cpu().numpy().tolist()]

    reference = Reference(min_weight=0.0, special=model.tokenizer.all_special_ids)
    reference.upsert([str(n) for n in range(len(DOCUMENTS))], rows(model.encode_document(DOCUMENTS)))
    return reference, rows(model.encode_query(QUERIES)), model.tokenizer


def test_the_cards_example_ranks_scores_and_explains_as_the_card_does(encoder, reference):
    by_the_card, vectors, tokenizer = reference
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(DOCUMENTS, ids=[str(n) for n in range(len(DOCUMENTS))])
        found = retriever.search_many(QUERIES, k=5, top_k_tokens=5)
    for vector, results in zip(vectors, found, strict=True):
        expected = by_the_card.search(vector, 5)
        assert [result.document.id for result in results] == [id for id, _ in expected]
        for result, (id, score) in zip(results, expected, strict=True):
            assert result.score == pytest.approx(score, rel=1e-5)
            shared = by_the_card.contributions(vector, id)
            assert result.explanation.n_tokens == len(shared)
            shown = result.explanation.contributions
            assert [c.contribution for c in shown] == pytest.approx(
                [entry[3] for entry in shared[:5]],
                rel=1e-4,
                abs=1e-6,  # weights are promised to 1e-5, absolute
            )
            assert [c.token for c in shown] == tokenizer.convert_ids_to_tokens([c.token_id for c in shown])
            total = sum(c.contribution for c in shown) + result.explanation.residual
            assert total == pytest.approx(result.score, rel=1e-5)


def test_the_documents_that_answer_come_first_where_they_share_words(encoder):
    # The third question asks for 텔레픽스, and its answer writes TelePIX: more than the bundled model knows.
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(DOCUMENTS, ids=[str(n) for n in range(len(DOCUMENTS))])
        assert [results[0].document.id for results in retriever.search_many(QUERIES[:2], k=1)] == ["0", "1"]
