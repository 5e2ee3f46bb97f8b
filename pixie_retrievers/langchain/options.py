"""What a caller may set, at construction and at a call: refused in the package's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from pixie_retrievers.errors import PixieError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Checked", "refuse_unknown"]


class Checked(BaseModel):
    """A model whose validators' own errors come out as they are, not inside one of pydantic's."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _own(error) from None

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            raise _own(error) from None


def _own(error: ValidationError) -> Exception:
    causes = (one.get("ctx", {}).get("error") for one in error.errors())
    return next((cause for cause in causes if isinstance(cause, PixieError)), error)


def refuse_unknown(who: str, given: Mapping[str, Any], known: str) -> None:
    """Refuse keyword arguments that nobody took.

    Raises:
        TypeError: There is one.
    """
    if given:
        raise TypeError(f"{who} does not take {', '.join(map(repr, given))}; it takes {known}")
