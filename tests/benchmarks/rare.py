"""What characters outside the vocabulary do to ranking, by their bytes and by terms of their own: docs/encoder.md.

python tests/benchmarks/rare.py
"""

# ruff: noqa: T201  # what it measures, it prints

from __future__ import annotations

import math
import random
from statistics import fmean

from pixie_retrievers import Document, PixieEncoder, SparseRetriever
from pixie_retrievers.cli.corpus import passages, questions
from pixie_retrievers.encoder.rare import RareCharacters

KINDS = {
    "emoji": range(0x1F300, 0x1F650),
    "syllable": range(0xAC00, 0xD7A4),
    "Hanja": range(0x4E00, 0x9FFF),
    "private": range(0xE000, 0xE800),
}


def ndcg(found: list[str], relevant: tuple[str, ...]) -> float:
    best = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant))))
    return sum(1 / math.log2(rank + 2) for rank, id in enumerate(found[:10]) if id in relevant) / best


def measure(encoder: PixieEncoder) -> None:
    rng = random.Random(1)
    pool = {
        kind: [chr(code) for code in codes if len(encoder._vocabulary.read([chr(code)])[0].rare) == 1]
        for kind, codes in KINDS.items()
    }
    chosen = {kind: rng.sample(characters, 60) for kind, characters in pool.items()}
    documents, asked = passages(), list(questions().values())
    texts, home = [document.text.split(" ") for document in documents], {}
    for n, character in enumerate(rng.sample([c for some in chosen.values() for c in some], 240)):
        words = texts[n % len(texts)]
        words.insert(rng.randrange(len(words)), character)
        home[character] = documents[n % len(texts)].id
    marked = [Document(d.id, " ".join(words), d.metadata) for d, words in zip(documents, texts, strict=True)]
    foreign = [rng.choice([c for c in pool["emoji"] if c not in home]) for _ in asked]
    absent = [c for some in pool.values() for c in rng.sample([c for c in some if c not in home], 30)]

    def quality(retriever: SparseRetriever, ends: list[str]) -> float:
        return fmean(
            ndcg([hit.document.id for hit in retriever.search(q.text + end, top_k_tokens=0)], q.relevant)
            for q, end in zip(asked, ends, strict=True)
        )

    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add(documents)
        print(f"as they are: NDCG@10 {quality(retriever, [''] * len(asked)):.3f}")
        retriever.add(marked)
        print(f"with 240 characters: {quality(retriever, [''] * len(asked)):.3f}", end="")
        print(f"; a foreign emoji behind each question: {quality(retriever, [f' {c}' for c in foreign]):.3f}")
        for kind, characters in chosen.items():
            ranks, shares = [], []
            for character in characters:
                hits = retriever.search(character, len(documents), top_k_tokens=0)
                scores = {hit.document.id: hit.score for hit in hits}
                right = scores.pop(home[character])
                ranks.append(1 / (1 + sum(score >= right for score in scores.values())))
                shares.append(max(scores.values(), default=0) / right)
            print(f"{kind}: MRR {fmean(ranks):.3f}, best wrong / right {fmean(shares):.2f}")
        found = fmean(len(retriever.search(c, len(documents), top_k_tokens=0)) for c in absent)
        print(f"a character of no passage finds {found:.1f}")


if __name__ == "__main__":
    own = RareCharacters.rewritten
    for name in ("bytes", "terms of their own"):
        print(f"\n{name}")
        if name == "bytes":
            RareCharacters.rewritten = lambda _self, vectors, *_, **__: vectors  # type: ignore[method-assign,assignment]
        else:
            RareCharacters.rewritten = own  # type: ignore[method-assign]
        measure(PixieEncoder.bundled(device="cpu", precision="float32"))
