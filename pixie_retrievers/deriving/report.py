"""What became of a table: what it was learned from, every way that was tried, and what it costs beside the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixie_retrievers.encoder.inference_free.table import QueryTable

__all__ = ["TableReport", "Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to work weights out, as the texts held out judge it.

    Attributes:
        name: The way.
        overlap: Of the ten best documents the share that model and table both find, 0 to 1.
        ndcg: NDCG at 10 where judgements were given.
    """

    name: str
    overlap: float
    ndcg: float | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {"name": self.name, "overlap": self.overlap, "ndcg": self.ndcg}


@dataclass(frozen=True, slots=True)
class TableReport:
    """A derived table beside its model, on the same index, asked texts that neither was learned from.

    Attributes:
        table: The table.
        chosen: The variant that it is.
        variants: All that were tried, best first.
        n_learned: It was learned from so many texts.
        n_held_out: So many texts were kept out, and asked.
        source: What they are: "questions", or "sentences" of the documents.
        model_ndcg: What the model reaches where judgements were given.
        model_ms: How long the model takes to encode one text, in milliseconds: the median.
        table_ms: How long the table takes.
        kept: The index keeps the table.
    """

    table: QueryTable
    chosen: Variant
    variants: tuple[Variant, ...]
    n_learned: int
    n_held_out: int
    source: str
    model_ndcg: float | None
    model_ms: float = field(repr=False)
    table_ms: float = field(repr=False)
    kept: bool = False

    @property
    def overlap(self) -> float:
        """Of the ten best documents the share that model and table both find, 0 to 1."""
        return self.chosen.overlap

    @property
    def ndcg(self) -> float | None:
        """What the table reaches where judgements were given."""
        return self.chosen.ndcg

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types, without the table itself."""
        return {
            "fingerprint": self.table.fingerprint,
            "chosen": self.chosen.to_dict(),
            "variants": [variant.to_dict() for variant in self.variants],
            "n_learned": self.n_learned,
            "n_held_out": self.n_held_out,
            "source": self.source,
            "model_ndcg": self.model_ndcg,
            "model_ms": self.model_ms,
            "table_ms": self.table_ms,
            "kept": self.kept,
        }

    def __str__(self) -> str:
        lines = [
            f"learned from {self.n_learned:,} {self.source}, measured on {self.n_held_out:,} others",
            f"of the ten best documents, model and table share {self.overlap:.1%}",
        ]
        if self.ndcg is not None and self.model_ndcg is not None:
            lines.append(f"NDCG@10: {self.ndcg:.4f}, the model {self.model_ndcg:.4f}")
        lines.append(f"one question: {self.table_ms:.2f} ms, the model {self.model_ms:.1f} ms")
        return "\n".join(lines)
