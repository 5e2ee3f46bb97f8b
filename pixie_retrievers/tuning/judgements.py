"""What people judged: which documents answer which questions, or what they clicked of what was shown."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.files.rows import input_files

__all__ = ["Judged", "Question", "Questions", "read_questions"]

Judged: TypeAlias = str | os.PathLike[str] | Iterable[Mapping[str, Any]]
"""The path of a file, or rows as it has them:

- ``{"question": ..., "relevant": [ids]}``, or ``{id: grade}`` for ``relevant``: an answer that is better has a larger
  grade, and 0 is none;
- ``{"question": ..., "shown": [ids, best first], "clicked": [ids]}``: a line of a log.
"""

_QUESTION = ("question", "query", "text")


@dataclass(slots=True)
class Question:
    """A question with all that was said of it.

    Attributes:
        text: The question.
        grades: How good an answer each document is, above 0; of a log, how often it was clicked.
        pairs: Of a log: (clicked, shown above it and not clicked), one for each time.
        shown: Of a log: all that was shown.
    """

    text: str
    grades: dict[str, float] = field(default_factory=dict)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    shown: dict[str, None] = field(default_factory=dict)

    @property
    def teaches(self) -> bool:
        """Whether anything can be learned from it: an answer, or a click below another document."""
        return bool(self.pairs) if self.shown else bool(self.grades)

    def ids(self) -> set[str]:
        """The documents that it names."""
        return {*self.grades, *self.shown}

    def only(self, known: Callable[[str], bool]) -> Question:
        """The same without documents that nobody knows."""
        return Question(
            self.text,
            {id: grade for id, grade in self.grades.items() if known(id)},
            [pair for pair in self.pairs if known(pair[0]) and known(pair[1])],
            {id: None for id in self.shown if known(id)},
        )


@dataclass(frozen=True, slots=True)
class Questions:
    """Judged questions, each once.

    Attributes:
        questions: Those about which something was said.
        n_rows: In so many rows.
        n_merged: So many rows were about a question that stood there before.
        n_empty: So many rows say nothing: no answer, or no click.
        is_log: They are clicks.
    """

    questions: tuple[Question, ...]
    n_rows: int
    n_merged: int
    n_empty: int
    is_log: bool


def read_questions(judged: Judged, *, encoding: str | None = None) -> Questions:
    """Judged questions, or clicks, out of a file or a list of rows; what stands twice is merged.

    Args:
        judged: JSON Lines, or any other of the files that ``pixie index`` reads; or rows.
        encoding: What a file is written in that has no byte order mark and is not UTF-8.

    Raises:
        InvalidParameterError: A row is neither a judged question nor a click, or there are both; it is named.
        InvalidDocumentError, InvalidTextError: The file cannot be read.
    """
    found: dict[str, Question] = {}
    kinds: set[bool] = set()
    n_rows = n_merged = n_empty = 0
    for place, row in _rows(judged, encoding):
        n_rows += 1
        text, grades, shown = _row(place, row)
        kinds.add(shown is not None)
        if len(kinds) > 1:
            raise InvalidParameterError(f"{place}: judged questions and clicks stand in one list: pass them apart")
        if not grades:
            n_empty += 1
            continue
        key = " ".join(text.split())
        n_merged += key in found
        question = found.setdefault(key, Question(text))
        for id, grade in grades.items():
            before = question.grades.get(id, 0.0)
            question.grades[id] = max(before, grade) if shown is None else before + grade
        if shown is not None:
            question.shown |= dict.fromkeys(shown)
            question.pairs += [
                (id, above) for n, id in enumerate(shown) if id in grades for above in shown[:n] if above not in grades
            ]
    return Questions(tuple(found.values()), n_rows, n_merged, n_empty, kinds == {True})


def _rows(judged: Judged, encoding: str | None) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if isinstance(judged, (str, os.PathLike)):
        path = Path(judged)
        if not path.is_file():
            raise InvalidParameterError(f"there is no file {path}: pass a file of judged questions, or a list of them")
        (file,) = input_files([path], encoding)
        return file.rows()
    if not isinstance(judged, Iterable) or isinstance(judged, Mapping):
        raise InvalidParameterError(f"judged is of type {type(judged).__name__}: pass a file, or a list of rows")
    return ((f"row {n}", row) for n, row in enumerate(judged, start=1))


def _row(place: str, row: Any) -> tuple[str, dict[str, float], Sequence[str] | None]:
    """The question, the grades, and what was shown, which judgements do not say."""
    if not isinstance(row, Mapping):
        raise InvalidParameterError(f"{place} is of type {type(row).__name__}; it must be an object with a question")
    text = next((row[name] for name in _QUESTION if name in row), None)
    if not isinstance(text, str) or not text.strip():
        raise InvalidParameterError(f"{place} has no question: a text under {', '.join(map(repr, _QUESTION))}")
    if "shown" in row:
        shown, clicked = _ids(place, "shown", row["shown"]), _ids(place, "clicked", row.get("clicked"))
        if missing := [id for id in clicked if id not in shown]:
            raise InvalidParameterError(f"{place}: {missing[0]!r} was clicked, and is not among what was shown")
        return text, dict.fromkeys(clicked, 1.0), shown
    if "relevant" not in row:
        raise InvalidParameterError(f"{place} has neither 'relevant', ids, nor 'shown' and 'clicked'")
    relevant = row["relevant"]
    if not isinstance(relevant, Mapping):
        return text, dict.fromkeys(_ids(place, "relevant", relevant), 1.0), None
    for id, grade in relevant.items():
        if isinstance(grade, bool) or not isinstance(grade, Real) or not 0 <= float(grade) < math.inf:
            raise InvalidParameterError(f"{place}: the grade of {id!r} is {grade!r}; it must be a number of 0 or more")
    return text, {str(id): float(grade) for id, grade in relevant.items() if grade > 0}, None


def _ids(place: str, name: str, value: Any) -> list[str]:
    ids = [] if value is None else [value] if isinstance(value, (str, int)) else value
    if not isinstance(ids, (list, tuple, set)) or any(
        isinstance(id, bool) or not isinstance(id, (str, int)) for id in ids
    ):
        raise InvalidParameterError(f"{place}: {name!r} must be an id, or a list of ids")
    return list(dict.fromkeys(map(str, ids)))
