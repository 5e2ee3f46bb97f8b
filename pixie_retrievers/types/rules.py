"""What a rule did to a token of a query: what an explanation says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["AppliedRule"]


@dataclass(frozen=True, slots=True)
class AppliedRule:
    """Why a token's weight in a query is not the model's own.

    Attributes:
        origin: Where the rule comes from: "by hand", or "learned on 2026-11-27 from 1,000 questions".
        model_weight: The weight that the model gave; 0 where it gave none.
        factor: What the rule multiplies with: the model's weight, or in an expansion that of ``expanded_from``.
        expanded_from: The tokens of the query, as a person reads them, from which the rule expands to this one; none
            where the rule weighs what the model found.
    """

    origin: str
    model_weight: float
    factor: float
    expanded_from: tuple[str, ...] = ()

    @property
    def effect(self) -> str:
        """What it does, in a few characters: "× 0.3", and of an expansion "from 휴가 × 0.8"."""
        source = f"from {'+'.join(self.expanded_from)} " if self.expanded_from else ""
        return f"{source}× {self.factor:g}"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "origin": self.origin,
            "model_weight": self.model_weight,
            "factor": self.factor,
            "expanded_from": list(self.expanded_from),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> AppliedRule:
        """From what :meth:`to_dict` gave; raises LookupError, TypeError or ValueError at anything else."""
        sources = tuple(str(one) for one in plain["expanded_from"])
        return cls(str(plain["origin"]), float(plain["model_weight"]), float(plain["factor"]), sources)
