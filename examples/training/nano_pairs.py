"""Training pairs of the bundled model: questions with their passages, and inverse cloze pairs from the passages."""

import csv
import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

_PARTICLES = (
    "은",
    "는",
    "이",
    "가",
    "을",
    "를",
    "의",
    "에",
    "에서",
    "에게",
    "으로",
    "로",
    "와",
    "과",
    "도",
    "만",
    "까지",
    "부터",
)
_PARTICLE_END = re.compile("(?<=[가-힣]{2})(에서|에게|으로|까지|부터|은|는|이|가|을|를|의|에|로|와|과|도|만)$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
# Asking words carry no content. Put behind a cloze query they teach the model to give them next to no weight.
_QUESTION_TAILS = (  # noqa: SIM905 - one a line would be no easier to read
    "은 무엇인가? | 는 무엇인가요? | 란 무엇인가 | 은 누구인가? | 는 누구입니까? | 한 사람은? | "
    "한 사람의 이름은? | 은 언제인가? | 한 해는 언제인가? | 는 몇 년도인가? | 은 어디인가? | "
    "한 곳은 어디인가요? | 한 나라는? | 은 얼마인가? | 는 몇 개인가? | 은 어떻게 되나요? | "
    "하는 방법은? | 하려면 어떻게 해야 하나요? | 하는 이유는 무엇인가? | 은 왜 그런가요? | "
    "때문에 발생한 것은? | 에 대해 알려 줘 | 에 대해 설명해 주세요 | 에 관한 내용 | "
    "는 어떤 것이 있나요? | 중 옳은 것은? | 을 뭐라고 하는가? | 라고 불리는 것은? | "
    "의 이름은 무엇인가? | 에서 처음으로 한 것은? | 는 어느 것인가? | 인가요? | 했나요? | "
    "입니까?"
).split(" | ")


@dataclass(frozen=True, slots=True)
class Pair:
    """A query, a passage that answers it, and the group whose members are never negatives of one another."""

    query: str
    passage: str
    group: str


@dataclass(slots=True)
class PairSource:
    """One kind of pairs from one data set; a batch is drawn from a single source, which makes its negatives hard."""

    name: str
    passages: list[str]
    queries: list[list[str]]
    groups: list[str]
    neighbours: np.ndarray
    cloze: bool = False
    weight: float = 1.0
    _order: list[int] = field(default_factory=list)

    def batch(self, size: int, rng: random.Random, neighbour_share: float) -> list[Pair]:
        """Draw a batch: passages in shuffled order, a share of them followed by one of their nearest neighbours."""
        chosen: list[int] = []
        seen: set[int] = set()
        while len(chosen) < min(size, len(self.passages)):
            if not self._order:
                self._order = list(range(len(self.passages)))
                rng.shuffle(self._order)
            index = self._order.pop()
            if index in seen:
                continue
            seen.add(index)
            chosen.append(index)
            near = int(rng.choice(self.neighbours[index]))
            if rng.random() < neighbour_share and near not in seen and len(chosen) < size:
                seen.add(near)
                chosen.append(near)
        return [self._pair(index, rng) for index in chosen]

    def _pair(self, index: int, rng: random.Random) -> Pair:
        passage = self.passages[index]
        if self.cloze:
            query, passage = cloze(passage, rng)
        else:
            query = rng.choice(self.queries[index])
        return Pair(add_noise(query, rng), passage, self.groups[index])


def cloze(passage: str, rng: random.Random) -> tuple[str, str]:
    """Make a query out of a passage: a sentence, mostly taken out of it, or a few of its words, often as a question."""
    sentences = [part for part in _SENTENCE_END.split(passage) if len(part) > 12]
    if len(sentences) > 1 and rng.random() < 0.4:
        sentence = rng.choice(sentences)
        rest = passage if rng.random() < 0.35 else passage.replace(sentence, " ").strip()
        return sentence, rest
    words = rng.choice(sentences).split() if sentences and rng.random() < 0.6 else passage.split()
    count = min(len(words), rng.randint(1, 7))
    # Long words are the telling ones more often than not; drawing by length leaves the choice random.
    picked = sorted(range(len(words)), key=lambda i: rng.random() ** (1.0 / min(len(words[i]), 6)), reverse=True)[
        :count
    ]
    kept = [_vary_particle(words[i], rng) for i in sorted(picked)]
    query = " ".join(kept)
    if rng.random() < 0.5:
        query = _PARTICLE_END.sub("", query) + rng.choice(_QUESTION_TAILS)
    return query, passage


def add_noise(query: str, rng: random.Random) -> str:
    """Drop a word of a long query now and then, and make the spacing mistakes that people make."""
    words = query.split()
    if len(words) > 4 and rng.random() < 0.2:
        words.pop(rng.randrange(len(words)))
    if len(words) > 1 and rng.random() < 0.15:
        place = rng.randrange(len(words) - 1)
        words[place : place + 2] = [words[place] + words[place + 1]]
    return " ".join(words)


def read_passages(folder: Path) -> dict[str, str]:
    """Read the passages of a BEIR folder that training may see, as ``title + " " + text``.

    A folder with ``qrels/train.tsv`` has other splits for evaluation: a passage judged in one of those is left out.
    """
    passages = {}
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            passages[row["_id"]] = f"{row.get('title', '')} {row['text']}".strip()
    if (folder / "qrels" / "train.tsv").exists():
        for path in (folder / "qrels").glob("*.tsv"):
            if path.stem != "train":
                for _, passage_id in read_qrels(path):
                    passages.pop(passage_id, None)
    return passages


def read_qrels(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (query id, passage id) for each positive judgement of a BEIR qrels file."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                yield row["query-id"], row["corpus-id"]


def read_sources(folder: Path, min_cloze_length: int = 60) -> list[PairSource]:
    """Read a BEIR folder into a source of judged pairs and, where passages are long enough, one of cloze pairs."""
    passages = read_passages(folder)
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = {row["_id"]: row["text"] for row in map(json.loads, lines)}
    split = folder / "qrels" / "train.tsv"
    judged: dict[str, list[str]] = {}
    for query_id, passage_id in read_qrels(split if split.exists() else folder / "qrels" / "test.tsv"):
        if passage_id in passages:
            judged.setdefault(passage_id, []).append(query_id)
    sources = []
    if judged:
        ids = list(judged)
        texts = [passages[passage_id] for passage_id in ids]
        sources.append(
            PairSource(
                name=folder.name,
                passages=texts,
                queries=[[queries[query_id] for query_id in judged[passage_id]] for passage_id in ids],
                groups=[judged[passage_id][0] for passage_id in ids],
                neighbours=nearest_passages(texts),
                weight=math.sqrt(len(ids)),
            )
        )
    texts = [text for text in passages.values() if len(text) >= min_cloze_length]
    if len(texts) >= 200:
        sources.append(
            PairSource(
                name=f"{folder.name} (cloze)",
                passages=texts,
                queries=[],
                groups=[str(number) for number in range(len(texts))],
                neighbours=nearest_passages(texts),
                cloze=True,
                weight=math.sqrt(len(texts)),
            )
        )
    return sources


def nearest_passages(texts: list[str], count: int = 8) -> np.ndarray:
    """Return the nearest passages of each passage by TF-IDF over character bigrams, int64 (n_texts, count)."""
    vectors = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 2), sublinear_tf=True, dtype=np.float32
    ).fit_transform([text[:600] for text in texts])
    count = min(count, len(texts) - 1)
    nearest = np.empty((len(texts), count), dtype=np.int64)
    for start in range(0, len(texts), 512):
        scores = (vectors[start : start + 512] @ vectors.T).toarray()
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -1.0
        nearest[start : start + 512] = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return nearest


def _vary_particle(word: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        return word
    return _PARTICLE_END.sub(rng.choice(_PARTICLES) if rng.random() < 0.4 else "", word)
