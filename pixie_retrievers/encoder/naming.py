"""Names of terms beside the texts that share them: what is a part of a character is shown as the character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixie_retrievers.encoder.vocabulary import Vocabulary
from pixie_retrievers.types import TextSpans

__all__ = ["NamesInTexts"]


@dataclass(frozen=True, slots=True)
class NamesInTexts:
    """What an explanation of one query and one document calls its terms.

    Attributes:
        vocabulary: Names all but parts of characters.
        query: The query's text.
        document: The document's text.
        prompt: What stands before a document when the model reads it.
    """

    vocabulary: Vocabulary
    query: str
    document: str
    prompt: str = ""

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each term."""
        return self.vocabulary.tokens(term_ids)

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        """Each term as a person reads it; a part as the character that both texts have, else as "≈" and a character."""
        surfaces = self.vocabulary.surfaces(term_ids)
        if self.vocabulary.has_part(term_ids):
            query, document = self.vocabulary.characters(self.query), self.vocabulary.characters(self.document)
            for n, term in enumerate(term_ids):
                if self.vocabulary.is_part(term):
                    surfaces[n] = _shared(query, document, int(term)) or surfaces[n]
        return surfaces

    def document_spans(self) -> TextSpans:
        """Where in the document's text its terms stand, and what of it the model reads."""
        return self.vocabulary.located(self.document, self.prompt)[2]


def _shared(query: Mapping[int, set[str]], document: Mapping[int, set[str]], term: int) -> str:
    here, there = query.get(term, set()), document.get(term, set())
    if both := here & there:
        return "".join(sorted(both))
    return f"≈{''.join(sorted(here or there))}" if here or there else ""
