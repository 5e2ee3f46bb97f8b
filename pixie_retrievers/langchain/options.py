"""What a caller may say at a call: taken out of keyword arguments under any of its names; the rest is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["refuse_unknown", "take_k"]

_NAMES_OF_K = ("k", "top_k", "similarity_top_k")


def take_k(given: dict[str, Any], k: int | None = None) -> int | None:
    """Take k out of keyword arguments, under whichever of its names it came; None when it did not.

    Raises:
        InvalidParameterError: Two names say two things.
    """
    said = {name: value for name in _NAMES_OF_K if (value := given.pop(name, None)) is not None}
    if k is not None:
        said = {"k": k, **said}
    if any(value != next(iter(said.values())) for value in said.values()):
        raise InvalidParameterError(
            f"{' and '.join(f'{name}={value!r}' for name, value in said.items())} contradict; pass one of them"
        )
    return next(iter(said.values()), None)


def refuse_unknown(who: str, given: Mapping[str, Any], known: str) -> None:
    """Refuse keyword arguments that nobody took.

    Raises:
        TypeError: There is one.
    """
    if given:
        raise TypeError(f"{who} takes no {', '.join(map(repr, given))}; it takes {known}")
