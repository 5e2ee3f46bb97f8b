"""What came of learning: whether it helps, by how much, and which questions gained and lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pixie_retrievers.rules.rules import Factor, Rules
from pixie_retrievers.tuning.effects import Change

__all__ = ["TuningReport", "is_beyond_chance"]


def is_beyond_chance(interval: tuple[float, float], chance: float) -> bool:
    """Whether a gain is: its whole 95% interval is above 0, and chance gains as much in 5% of cases at most."""
    return interval[0] > 0 and chance <= 0.05


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What :meth:`~pixie_retrievers.SparseRetriever.tune` found. It has written nothing.

    Attributes:
        rules: The rules to keep, those that a person set among them, if the gain is beyond chance: give them to
            ``set_rules``, whose ``base`` is their version. None where it is not.
        before, after: How well the questions held out are answered, 0 to 1: under the rules that a person set, and with
            the factors that were learned.
        interval: Between which bounds the gain lies, with 95% confidence.
        chance: How often chance alone would gain as much, 0 to 1.
        measured: What is measured: NDCG at 10, over all documents or, of a log, among those that were shown.
        n_learned: From so many questions.
        n_held_out: It is measured on so many others.
        split_by: "document": no question held out is about a document that one learned from is about; "question":
            they are, because most questions hang together by their documents.
        strength: How strongly factors are held to 1, as cross-validation found best; None where no factors were better
            than any.
        changed: The learned factors, those first that change most.
        gained, lost: Questions held out that are answered better, or worse, the largest change first.
        n_merged: So many rows were about a question that stood there before.
        n_dropped: So many questions, or rows, say nothing that can be learned from.
        unknown_ids: Ids that are judged and not in the index.
        notes: What a reader should know, a sentence each.
    """

    rules: Rules | None
    before: float
    after: float
    interval: tuple[float, float]
    chance: float
    measured: str
    n_learned: int
    n_held_out: int
    split_by: Literal["document", "question"]
    strength: float | None
    changed: tuple[Factor, ...]
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    n_merged: int
    n_dropped: int
    unknown_ids: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def gain(self) -> float:
        """How much better the questions held out are answered."""
        return self.after - self.before

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the whole interval of the gain is above 0, and chance gains as much in 5% of cases at most."""
        return is_beyond_chance(self.interval, self.chance)

    @property
    def summary(self) -> str:
        """The same in a sentence or two."""
        low, high = self.interval
        told = (
            f"{self.measured} {self.before:.4f} before, {self.after:.4f} after: {self.gain:+.4f}, 95% interval"
            f" {low:+.4f} to {high:+.4f}, on {self.n_held_out:,} questions held out; chance alone gains as much in"
            f" {self.chance:.1%} of cases."
        )
        if self.strength is None:
            return f"No factors were better than none when they were tried on questions that they had not seen. {told}"
        said = "That does harm" if high < 0 else "That is not beyond chance"
        verdict = "The gain is beyond chance." if self.is_beyond_chance else f"{said}: change nothing."
        return f"{told} {verdict}"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        plain = ("summary", "measured", "before", "after", "gain", "is_beyond_chance", "n_learned", "n_held_out")
        more = ("split_by", "strength", "n_merged", "n_dropped")
        return {name: getattr(self, name) for name in (*plain, *more)} | {
            "interval": list(self.interval),
            "chance": self.chance,
            "changed": [{"token": c.term.token, "surface": c.term.surface, "factor": c.factor} for c in self.changed],
            "gained": [change.to_dict() for change in self.gained],
            "lost": [change.to_dict() for change in self.lost],
            "unknown_ids": list(self.unknown_ids),
            "notes": list(self.notes),
        }
