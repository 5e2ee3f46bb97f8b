"""What of a document is encoded beside its text: metadata in front of it or behind, the same for a whole index.

The text that an index stores is the text that was encoded, so that what is searched is what is shown and explained. How
it was put together stands in the index's fingerprint, behind the encoder's: it says how texts became vectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pixie_retrievers.errors import IncompatibleIndexError, InvalidParameterError
from pixie_retrievers.filters import MISSING, resolve
from pixie_retrievers.types import Document

__all__ = ["TextFields", "split_fingerprint"]

_TEXT = "{text}"
_FIELD = re.compile(r"\{([^{}]+)\}")
_MARK = " text_fields="


@dataclass(frozen=True, slots=True)
class TextFields:
    """How a document's text and metadata become the text that is encoded.

    Attributes:
        template: ``"{title}\\n{text}"``, say: fields by their dotted paths, the text once. A line of which every field
            is missing is left out.
    """

    template: str

    @classmethod
    def of(cls, fields: str | Iterable[str]) -> TextFields:
        """From a template, or from the names of fields, which stand on lines of their own.

        Raises:
            InvalidParameterError: ``text`` is not among them once, or there is nothing else.
        """
        template = fields if isinstance(fields, str) else "\n".join(f"{{{field}}}" for field in fields)
        names = _FIELD.findall(template)
        if names.count("text") != 1 or len(names) < 2:
            raise InvalidParameterError(
                f"text_fields is {fields!r}; pass field names with 'text' among them once, as in ('title', 'text'), or"
                " a template such as '{title}\\n{text}'"
            )
        return cls(template)

    def marked(self, fingerprint: str) -> str:
        """The fingerprint of an index: an encoder's, and this."""
        return f"{fingerprint}{_MARK}{json.dumps(self.template, ensure_ascii=False)}"

    def check_index(self, fingerprint: str, location: object) -> None:
        """Hold an index, by its fingerprint, to encoding these fields.

        Raises:
            IncompatibleIndexError: It encodes others, or the text alone.
        """
        _, other = split_fingerprint(fingerprint)
        if other != self:
            raise IncompatibleIndexError(
                f"{location} encodes {other.template if other else _TEXT!r} of a document, not {self.template!r}: leave"
                " text_fields out, or build a new index"
            )

    def whole(self, document: Document) -> Document:
        """The document with the text that is encoded; one that has it already, as a search returned it, stays."""
        before, after = self._around(document.metadata)
        text = document.text
        if text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after):
            return document
        return replace(document, text=f"{before}{text}{after}")

    def own_text(self, document: Document) -> str:
        """The text of a stored document without what its metadata put around it."""
        before, after = self._around(document.metadata)
        return document.text.removeprefix(before).removesuffix(after)

    def _around(self, metadata: Mapping[str, Any]) -> tuple[str, str]:
        before, _, after = self.template.partition(_TEXT)
        return _filled(before, metadata), _filled(after, metadata)


def split_fingerprint(fingerprint: str) -> tuple[str, TextFields | None]:
    """An index's fingerprint as its encoder's, and the fields that were encoded; None for the text alone."""
    encoders, mark, told = fingerprint.rpartition(_MARK)
    if not mark:
        return fingerprint, None
    try:
        return encoders, TextFields.of(json.loads(told))
    except (ValueError, TypeError):  # another encoder's own words
        return fingerprint, None


def _filled(part: str, metadata: Mapping[str, Any]) -> str:
    lines = []
    for line in part.split("\n"):
        values = {name: _shown(resolve(metadata, name)) for name in _FIELD.findall(line)}
        if any(values.values()) or not values:
            lines.append(_FIELD.sub(lambda field, values=values: values[field[1]], line))  # type: ignore[misc]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_shown, value)))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
