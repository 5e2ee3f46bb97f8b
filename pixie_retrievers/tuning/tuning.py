"""tune: learns factors from judged questions, and says whether they help before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.progress import progress
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.index.base import Index
from pixie_retrievers.rules.rules import Factor, Origin, Rules, Term
from pixie_retrievers.tuning.candidates import Candidates, found_candidates, pair_candidates, shown_candidates
from pixie_retrievers.tuning.effects import answered, changes, encoded
from pixie_retrievers.tuning.judgements import Judged, Question, Questions, read_questions
from pixie_retrievers.tuning.learning import learn
from pixie_retrievers.tuning.measuring import DEPTH, chance_of, paired_interval
from pixie_retrievers.tuning.report import TuningReport, is_beyond_chance
from pixie_retrievers.tuning.splitting import folds, groups_of, split
from pixie_retrievers.types import SparseVectors

__all__ = ["MIN_QUESTIONS", "STRENGTHS", "tune"]

MIN_QUESTIONS = 30
STRENGTHS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
_HELD_OUT = 1 / 3
_FOLDS = 3
_READ_AT_ONCE = 1000
_SMALLEST = 0.01  # a factor nearer to 1 is left out: it changes nothing that anybody sees
_SEED = 20

_BIASES = (
    "Clicks choose among what was shown: nothing is learned of documents that were not.",
    "People click what stands first: a click there teaches nothing, and the measure favours the order that was shown.",
)


def tune(
    index: Index,
    encoder: Encoder,
    rules: Rules,
    judged: Judged,
    *,
    encoding: str | None = None,
    show_progress: bool = False,
) -> TuningReport:
    """Learn factors of query tokens, and measure on questions held out what they do.

    Args:
        index, encoder: Those of the retriever.
        rules: Those in force: what a person set stays, what was learned before makes way.
        judged, encoding: As for :func:`~pixie_retrievers.tuning.judgements.read_questions`.
        show_progress: Show how far it is.

    Raises:
        InvalidParameterError: Fewer than 30 questions can be learned from, or a row is at fault.
    """
    read = read_questions(judged, encoding=encoding)
    questions, unknown = _known(index, read)
    rng = np.random.default_rng(_SEED)
    texts = [question.text for question in questions]
    by_hand = rules.by_hand
    with progress(2 * len(questions) + _FOLDS * len(STRENGTHS) + 1, shown=show_progress) as advance:
        model = encoded(encoder, texts, advance)
        vectors = by_hand.apply(model)
        fixed = np.zeros(index.vocabulary_size, np.bool_)
        fixed[[term.id for term in _set_by_hand(by_hand)]] = True
        if read.is_log:
            learned_on = pair_candidates(index, vectors, questions, fixed, advance)
            measured_on = shown_candidates(index, vectors, questions, fixed)
        else:
            measured_on = learned_on = found_candidates(index, vectors, questions, fixed, rng, advance)
        groups, by_document = groups_of([question.grades.keys() for question in questions])
        held = split(groups, _HELD_OUT, rng)
        strength = _best_strength(learned_on, measured_on, groups, held, index.vocabulary_size, rng, advance)
        factors: NDArray[np.float32] = np.ones(index.vocabulary_size + 1, np.float32)
        if strength is not None:
            rows = learned_on.rows_of(~held)
            factors = learn(learned_on, rows, strength=strength, vocabulary_size=index.vocabulary_size, rng=rng)
        advance(1)
    n_learned = sum(question.teaches for question, out in zip(questions, held.tolist(), strict=True) if not out)
    origin = Origin(f"{datetime.now().astimezone():%Y-%m-%d}", n_learned)
    learned = _as_rules(encoder, factors, fixed, origin)
    proposed = replace(by_hand.merged(learned), version=rules.version)
    at = np.flatnonzero(held)
    if read.is_log:
        before = measured_on.ndcg(measured_on.rows_of(held), np.ones_like(factors))
        after = measured_on.ndcg(measured_on.rows_of(held), _table(learned, len(factors)))
        measured = f"NDCG@{DEPTH} of clicks among what was shown"
    else:
        asked = [questions[n] for n in at.tolist()]
        plain = SparseVectors.concatenate([model[n] for n in at.tolist()], index.vocabulary_size)
        before = answered(index, by_hand.apply(plain), asked)
        after = answered(index, proposed.apply(plain), asked)
        measured = f"NDCG@{DEPTH}"
    _, held_groups = np.unique(groups[at], return_inverse=True)
    interval = paired_interval(after - before, held_groups, rng)
    chance = chance_of(after - before, held_groups, rng)
    gained, lost = changes([texts[n] for n in at.tolist()], before, after)
    return TuningReport(
        rules=proposed if is_beyond_chance(interval, chance) else None,
        before=float(before.mean()),
        after=float(after.mean()),
        interval=interval,
        chance=chance,
        measured=measured,
        n_learned=origin.n_questions,
        n_held_out=len(at),
        split_by="document" if by_document else "question",
        strength=strength,
        changed=tuple(sorted(learned.factors, key=lambda one: -abs(float(np.log(one.factor))))),
        gained=gained,
        lost=lost,
        n_merged=read.n_merged,
        n_dropped=read.n_empty + len(read.questions) - len(questions),
        unknown_ids=unknown,
        notes=_notes(read, rules, by_document),
    )


def _known(index: Index, read: Questions) -> tuple[list[Question], tuple[str, ...]]:
    """The questions that documents of the index answer, and the ids that it lacks.

    Raises:
        InvalidParameterError: There are fewer than 30.
    """
    ids = sorted({id for question in read.questions for id in question.ids()})
    there: set[str] = set()
    for start in range(0, len(ids), _READ_AT_ONCE):
        there |= {one.id for one in index.get(ids[start : start + _READ_AT_ONCE]) if one is not None}
    unknown = tuple(id for id in ids if id not in there)
    known = [question.only(there.__contains__) for question in read.questions]
    questions = [one for one in known if one.grades]  # a click on the first place teaches nothing, and is measured on
    n_teaching = sum(one.teaches for one in questions)
    if n_teaching < MIN_QUESTIONS:
        said = f"of {len(read.questions)} questions in {read.n_rows} rows" if read.n_rows else "of no rows"
        lacking = f"; {len(unknown)} ids are not in the index, such as {unknown[0]!r}" if unknown else ""
        clicks = ", with a click below another document," if read.is_log else ""
        raise InvalidParameterError(
            f"{n_teaching} {said} can be learned from{clicks} and {MIN_QUESTIONS} are the least: with fewer, chance"
            f" decides{lacking}"
        )
    return questions, unknown


def _set_by_hand(rules: Rules) -> list[Term]:
    """The terms of which a person says what they weigh."""
    return [one.term for one in rules.factors] + [one.target for one in rules.expansions]


def _best_strength(
    learned_on: Candidates,
    measured_on: Candidates,
    groups: NDArray[np.int64],
    held: NDArray[np.bool_],
    vocabulary_size: int,
    rng: np.random.Generator,
    advance: Callable[[int], object],
) -> float | None:
    """The strength whose factors answer questions best that they were not learned from; None where none does."""
    part_of = np.full(len(held), -1, np.int64)
    _, inside = np.unique(groups[~held], return_inverse=True)
    part_of[~held] = folds(inside, _FOLDS, rng)
    plain = np.ones(vocabulary_size + 1, np.float32)
    best, best_gain = None, 0.0
    for strength in STRENGTHS:
        gains = []
        for part in range(_FOLDS):
            others = learned_on.rows_of((part_of != part) & ~held)
            factors = learn(learned_on, others, strength=strength, vocabulary_size=vocabulary_size, rng=rng)
            rows = measured_on.rows_of(part_of == part)
            gains.append(measured_on.ndcg(rows, factors) - measured_on.ndcg(rows, plain))
            advance(1)
        gain = float(np.concatenate(gains).mean())
        if gain > best_gain:
            best, best_gain = strength, gain
    return best


def _as_rules(encoder: Encoder, factors: NDArray[np.float32], fixed: NDArray[np.bool_], origin: Origin) -> Rules:
    terms = np.flatnonzero((np.abs(np.log(factors[:-1])) >= _SMALLEST) & ~fixed).tolist()
    names = zip(terms, encoder.tokens(terms), encoder.surfaces(terms), strict=True)
    return Rules(tuple(Factor(Term(*name), round(float(factors[name[0]]), 3), origin) for name in names))


def _table(rules: Rules, length: int) -> NDArray[np.float32]:
    """A factor a term, as they are written."""
    table = np.ones(length, np.float32)
    for one in rules.factors:
        table[one.term.id] = one.factor
    return table


def _notes(read: Questions, rules: Rules, by_document: bool) -> tuple[str, ...]:
    notes = list(_BIASES) if read.is_log else []
    if not by_document:
        notes.append(
            "Most questions hang together by the documents that answer them, so questions held out are about documents"
            " that were learned from: new documents may gain less."
        )
    if n_earlier := len(rules) - len(rules.by_hand):
        notes.append(f"{n_earlier:,} factors learned earlier are left out on both sides; new ones take their place.")
    return tuple(notes)
