"""What a caller may set, at construction and at a call: refused in the package's own words."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from pixie_retrievers.errors import InvalidParameterError, PixieError
from pixie_retrievers.parameters import refuse_unknown

__all__ = ["Checked"]


class Checked(BaseModel):
    """A model that refuses settings as everything else here does: with the package's errors, not with pydantic's.

    A setting that it does not have is a TypeError, as for any function.
    """

    def __init__(self, **values: Any) -> None:
        known = type(self).model_fields
        refuse_unknown(type(self).__name__, sorted(values.keys() - known), ", ".join(sorted(known)))
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _own(error) from None

    @classmethod
    def _check_values(cls, **values: Any) -> None:
        """Refuse settings that one could not be made with; others may be missing yet.

        Raises:
            TypeError: There is no such setting.
            PixieError: A setting is refused.
        """
        known = {name for name, field in cls.model_fields.items() if not field.exclude}  # what is excluded is made
        refuse_unknown(cls.__name__, sorted(values.keys() - known), ", ".join(sorted(known)))
        blank = cls.model_construct()
        for name, value in values.items():
            setattr(blank, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            raise _own(error) from None


def _own(error: ValidationError) -> Exception:
    found = error.errors()
    for one in found:
        cause = one.get("ctx", {}).get("error")
        if isinstance(cause, PixieError):
            return cause
    first = found[0]
    name, message = first["loc"][0], first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "missing":
        return TypeError(f"{name} is missing: pass it by name")
    return InvalidParameterError(f"{name} is of type {type(first['input']).__name__}: {message}")
