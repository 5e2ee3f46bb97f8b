"""From words, as people write them, to the terms of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.rules.rules import BY_HAND, Expansion, Factor, Origin, Rules, Term

__all__ = ["Words", "rules_of"]

Named = str | Iterable[str]
"""A word or token; or the pieces that a word falls into."""


def rules_of(
    encoder: Encoder,
    factors: Mapping[str, float] | None = None,
    expansions: Iterable[tuple[Named, Named, float]] = (),
    *,
    origin: Origin = BY_HAND,
) -> Rules:
    """Rules from words.

    Args:
        encoder: Of the model that the rules are for.
        factors: What the weights of tokens in queries are multiplied with, 0 to 1,000, by word or token; 0 mutes one.
        expansions: Tokens that queries get: (word that the query has, word that it gets, weight). A word that the model
            takes apart is given by its pieces, as in ``(("연", "차"), "휴가", 0.8)``: the query must have all of them,
            or gets each of them.
        origin: Where the rules come from.

    Raises:
        InvalidParameterError: The model takes a word apart, or does not have it; a number is out of its range.
    """
    words = Words(encoder)
    return Rules(
        tuple(Factor(words.term(word), factor, origin) for word, factor in (factors or {}).items()),
        tuple(
            Expansion(words.terms(source), target, weight, origin)
            for source, targets, weight in expansions
            for target in words.terms(targets)
        ),
    )


class Words:
    """Finds the terms that words and tokens mean to a model.

    Args:
        encoder: Names its terms; one that knows where in a text its terms stand (``spans``) reads words by it, and of
            any other the terms count that it marks as the word's own.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def term(self, word: str) -> Term:
        """The one term of a word, or of a token in the vocabulary's own spelling.

        Raises:
            InvalidParameterError: The model takes the word apart, or has nothing for it.
        """
        if not isinstance(word, str):
            raise InvalidParameterError(f"a word is of type {type(word).__name__}; it must be a string")
        pieces = self.pieces(word)
        if len(pieces) == 1:
            return pieces[0]
        if (term := self._by_token.get(word)) is not None:
            return self._named([term])[0]
        if not pieces:
            raise InvalidParameterError(f"the model has no token for {word!r}: give a word, or a token as it spells it")
        names = ", ".join(repr(piece.token) for piece in pieces)
        raise InvalidParameterError(
            f"the model takes {word!r} apart into {names}, and a rule is about one token: give a rule for each piece"
            f" that is meant; in an expansion, name the pieces together, as {'+'.join(p.token for p in pieces)}"
        )

    def terms(self, named: Named) -> tuple[Term, ...]:
        """The terms of a word, or of pieces that are named.

        Raises:
            InvalidParameterError: As for :meth:`term`.
        """
        return (self.term(named),) if isinstance(named, str) else tuple(map(self.term, named))

    def token(self, token: str) -> Term | None:
        """The term that the vocabulary spells so; None where it has none."""
        term = self._by_token.get(token)
        return None if term is None else self._named([term])[0]

    def pieces(self, word: str) -> tuple[Term, ...]:
        """What the model makes of a word, in the order of its letters."""
        find = getattr(self._encoder, "spans", None)
        if find is not None:
            found = find(word, kind="query").terms
            return self._named(sorted(found, key=lambda term: found[term][0] if found[term] else (0, 0)))
        vector = self._encoder.encode_queries([word])
        return self._named(vector.term_ids[vector.literal].tolist())

    def _named(self, terms: Iterable[int]) -> tuple[Term, ...]:
        ids = list(terms)
        names = zip(ids, self._encoder.tokens(ids), self._encoder.surfaces(ids), strict=True)
        return tuple(Term(*name) for name in names)

    @cached_property
    def _by_token(self) -> dict[str, int]:
        ids = range(self._encoder.vocabulary_size)
        return dict(zip(self._encoder.tokens(ids), ids, strict=True))
