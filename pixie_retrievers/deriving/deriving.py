"""derive_table: what a model gives the tokens of questions, as a table, with what that costs."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from pixie_retrievers.deriving.report import TableReport, Variant
from pixie_retrievers.deriving.texts import Corpus, read_corpus
from pixie_retrievers.deriving.ways import table_of, ways
from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.inference_free.fitting import Observations
from pixie_retrievers.encoder.inference_free.parts import TableOrigin
from pixie_retrievers.encoder.inference_free.table import QueryTable
from pixie_retrievers.encoder.progress import progress
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.index.base import Index
from pixie_retrievers.tuning.judgements import Judged, read_questions
from pixie_retrievers.tuning.measuring import DEPTH, ndcg
from pixie_retrievers.types import SparseVectors

__all__ = ["FEWEST_TEXTS", "derive_table"]

FEWEST_TEXTS = 50
_HELD_OUT = 0.1
_MOST_ASKED = 300
_TIMED = 30
_ENCODED_AT_ONCE = 256
_SEED = 14
_MIN_GAIN = 0.002  # of overlap or NDCG, below which fewer numbers are the better table


@dataclass(frozen=True, slots=True)
class _Texts:
    """What is learned from and what is asked.

    Attributes:
        source: "questions" or "sentences".
        learned, asked: The texts.
        corpus: What is known of the documents.
        grades: Of each asked text its relevant documents; None where nobody said.
    """

    source: str
    learned: Sequence[str]
    asked: Sequence[str]
    corpus: Corpus
    grades: Sequence[Mapping[str, float]] | None


def derive_table(
    index: Index,
    encoder: Encoder,
    questions: Iterable[str] | None = None,
    *,
    judged: Judged | None = None,
    max_texts: int = 5000,
    expansions: bool = True,
    show_progress: bool = False,
) -> TableReport:
    """Learn a query table from a model, and measure it beside the model on texts kept out.

    Args:
        index, encoder: Those of the retriever.
        questions: Questions as people ask them; None takes sentences and titles of the documents.
        judged: Questions with their relevant documents, as ``tune`` takes them: they are learned from too, but for a
            tenth, which says what the table costs.
        max_texts: At most so many texts are put through the model.
        expansions: Let tokens add terms, if that is better.
        show_progress: Show how far it is.

    Raises:
        InvalidParameterError: There are fewer than 50 texts, or the encoder does not say how it reads a text.
        InvalidTextError: A question is not a string, or cannot be written as UTF-8.
    """
    vocabulary = getattr(encoder, "vocabulary", None)
    if vocabulary is None:
        raise InvalidParameterError(
            f"a {type(encoder).__name__} does not say how it reads a text: a table is derived from a PixieEncoder"
        )
    texts = _texts(index, encoder, questions, judged, max_texts)
    if not texts.learned or len(texts.learned) + len(texts.asked) < FEWEST_TEXTS:
        raise InvalidParameterError(
            f"there are {len(texts.learned) + len(texts.asked)} {texts.source} to learn from, fewer than"
            f" {FEWEST_TEXTS}: pass more questions, or add documents first"
        )
    model_ms = _milliseconds(encoder.encode_queries, texts.asked)
    with progress(len(texts.learned) + len(texts.asked), shown=show_progress) as advance:
        seen = Observations(
            [vocabulary.tokens_of(reading) for reading in vocabulary.read(list(texts.learned))],
            _encoded(encoder, texts.learned, advance),
        )
        by_model = _encoded(encoder, texts.asked, advance)
    expected = index.search(by_model, DEPTH)
    found: list[tuple[Variant, QueryTable]] = []
    for name, weights, added in ways(seen, texts.corpus, vocabulary, expansions=expansions):
        origin = TableOrigin(
            model=encoder.fingerprint,
            n_texts=len(texts.learned),
            source=texts.source,
            method=name,
            created=f"{datetime.now().astimezone():%Y-%m-%d}",
        )
        table = table_of(encoder, weights, added, origin)
        hits = index.search(table.encode(texts.asked), DEPTH)
        variant = Variant(name, _overlap(hits, expected), _mean_ndcg(hits, texts.grades))
        found.append((variant, replace(table, origin=replace(origin, overlap=round(variant.overlap, 4)))))
    chosen, table = _best(found)
    return TableReport(
        table=table,
        chosen=chosen,
        variants=tuple(sorted((variant for variant, _ in found), key=_value, reverse=True)),
        n_learned=len(texts.learned),
        n_held_out=len(texts.asked),
        source=texts.source,
        model_ndcg=_mean_ndcg(expected, texts.grades),
        model_ms=model_ms,
        table_ms=_milliseconds(table.encode, texts.asked),
    )


def _texts(
    index: Index, encoder: Encoder, questions: Iterable[str] | None, judged: Judged | None, max_texts: int
) -> _Texts:
    rng = random.Random(_SEED)  # noqa: S311  # a sample, not a secret
    if isinstance(questions, str):
        raise InvalidParameterError("questions is one string: pass a list of questions")
    given = list(dict.fromkeys(questions or ()))
    read = () if judged is None else read_questions(judged).questions
    grades = {question.text: question.grades for question in read if question.text not in given}
    wants_sentences = not given and not grades
    corpus = read_corpus(index, encoder, max_texts if wants_sentences else 0, rng)
    source = "sentences" if wants_sentences else "questions"
    pool = list(corpus.sentences) if wants_sentences else list(grades) or given
    rng.shuffle(pool)
    n_asked = min(_MOST_ASKED, round(_HELD_OUT * len(pool))) if len(pool) > 1 else 0
    asked, rest = pool[:n_asked], pool[n_asked:]
    learned = (rest + given if grades else rest)[:max_texts]
    return _Texts(source, learned, asked, corpus, [grades[text] for text in asked] if grades else None)


def _value(variant: Variant) -> float:
    return variant.overlap if variant.ndcg is None else variant.ndcg


def _best(found: Sequence[tuple[Variant, QueryTable]]) -> tuple[Variant, QueryTable]:
    """The best, or one without expansions that is as good to speak of."""
    best = max(_value(variant) for variant, _ in found)
    good = [(variant, table) for variant, table in found if _value(variant) >= best - _MIN_GAIN]
    return min(good, key=lambda one: (len(one[1].expansions.terms), -_value(one[0])))


def _encoded(encoder: Encoder, texts: Sequence[str], advance: Callable[[int], Any]) -> SparseVectors:
    parts = []
    for start in range(0, len(texts), _ENCODED_AT_ONCE):
        part = texts[start : start + _ENCODED_AT_ONCE]
        parts.append(encoder.encode_queries(part))
        advance(len(part))
    return SparseVectors.concatenate(parts, encoder.vocabulary_size)


def _milliseconds(encode: Callable[[list[str]], Any], texts: Sequence[str]) -> float:
    """The median of some texts, one by one, the first apart: it warms up. A number each, so that no cache answers."""
    took = []
    for number, text in enumerate(texts[: _TIMED + 1], start=time.time_ns() % 1000):
        asked = [f"{text} {number}"]
        began = time.perf_counter()
        encode(asked)
        took.append(1e3 * (time.perf_counter() - began))
    return statistics.median(took[1:] or took or [0.0])


def _overlap(hits: Sequence[Sequence[Any]], expected: Sequence[Sequence[Any]]) -> float:
    shares = []
    for ours, theirs in zip(hits, expected, strict=True):
        wanted = {hit.document.id for hit in theirs}
        if wanted:
            shares.append(len(wanted & {hit.document.id for hit in ours}) / len(wanted))
    return float(np.mean(shares)) if shares else 1.0


def _mean_ndcg(hits: Sequence[Sequence[Any]], grades: Sequence[Mapping[str, float]] | None) -> float | None:
    if not grades:
        return None
    return float(
        np.mean([ndcg([hit.document.id for hit in one], of) for one, of in zip(hits, grades, strict=True) if of])
    )
