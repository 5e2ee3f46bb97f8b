"""A tokenizer's terms: what they are called, and which of them a text is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.encoder.panics import panics_refused
from pixie_retrievers.encoder.prefixes import encode_prefixes
from pixie_retrievers.encoder.rare import RareCharacters
from pixie_retrievers.encoder.spans import spans_of_terms, spans_of_tokens
from pixie_retrievers.encoder.special import forget_special_tokens
from pixie_retrievers.encoder.spelling import TokenizerDescription, is_whole
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.types.spans import Span, TextSpans

__all__ = ["Reading", "Vocabulary"]

_COUNTED_AT_ONCE = 1024  # texts: what a tokenizer returns takes 80 bytes a token


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model reads of a text.

    Attributes:
        n_tokens: How many tokens it sees, special ones and prompt included; 0 for a text that has no token of its own:
            white space, or characters that the tokenizer drops.
        cut: The text was longer than the model reads.
        n_read: How many characters of a text that was cut the model reads.
        terms: int32, ascending: the terms that the text is made of, as far as it is read, without prompt and special
            tokens.
        text: As much of the text as gives the same tokens: a long one need not be tokenised whole.
        rare: Its characters that the vocabulary has only as bytes, with the terms of these.
        ids: int32, shape (n_tokens,): the tokens that the model sees.
    """

    n_tokens: int
    cut: bool
    n_read: int
    terms: NDArray[np.int32] = field(compare=False)
    text: str
    rare: Mapping[str, tuple[int, ...]]
    ids: NDArray[np.int32] = field(compare=False)


_NOTHING = Reading(0, cut=False, n_read=0, terms=np.zeros(0, np.int32), text="", rare={}, ids=np.zeros(0, np.int32))


class _Named(NamedTuple):
    """A term's token and surface, and whether it is no whole character."""

    token: str
    surface: str
    is_part: bool


class Vocabulary:
    """The terms of a model. Safe to use from many threads: it keeps a tokenizer of its own and never changes it.

    Args:
        tokenizer: A fast tokenizer of transformers, or its description.
        size: The number of terms that the model gives weights to; a tokenizer may name fewer.
        max_length: Texts are cut to so many tokens, special ones included.
        special_is_text: What looks like a special token in a text is text.

    Attributes:
        tokenizer, size, max_length, special_is_text: As they were passed.
        special_ids: The terms that are special tokens, ascending.
        rare: What stands for characters that have only bytes among the terms.
    """

    def __init__(self, tokenizer: Any, *, size: int, max_length: int, special_is_text: bool = True) -> None:
        from tokenizers import Tokenizer

        described = tokenizer if isinstance(tokenizer, TokenizerDescription) else TokenizerDescription.of(tokenizer)
        self.tokenizer = described
        self.size = size
        self.max_length = max_length
        self.special_ids = tuple(id for id in described.special_ids if 0 <= id < size)
        self.special_is_text = special_is_text
        self._special = frozenset(self.special_ids)
        self._is_special = np.zeros(max(size, described.n_ids), np.bool_)
        self._is_special[list(self.special_ids)] = True
        self._spelling = described.spelling
        self._names: dict[int, _Named] = {}
        self._backend = Tokenizer.from_str(described.content)
        self.rare = RareCharacters(self._backend.token_to_id)
        self._backend.no_padding()
        if special_is_text:
            forget_special_tokens(self._backend)
        self._side = described.side
        try:
            self._backend.enable_truncation(max_length, direction=self._side)
        except (ValueError, OverflowError):  # tokenizers' own words are about its internals
            raise InvalidParameterError(f"max_length is {max_length}: too small for a text of one token") from None

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each term; "[term 50001]" for a term that the tokenizer has no name for.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
        """
        return [named.token for named in self._all_named(term_ids)]

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        """Each term as a person reads it; special tokens as they are.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
        """
        return [named.surface for named in self._all_named(term_ids)]

    def is_part(self, term_id: int) -> bool:
        """Whether a term is no whole character: a byte, or a few bytes of which some are half a character."""
        return self._named(term_id).is_part

    def is_rare(self, term_id: int) -> bool:
        """Whether a term stands for characters that the vocabulary has only as bytes: no model raises these.

        Raises:
            InvalidParameterError: The term is outside the vocabulary.
        """
        self._named(term_id)
        return term_id in self.rare

    def has_part(self, term_ids: Sequence[int]) -> bool:
        """Whether any of some terms is a part of a character."""
        return any(named.is_part for named in self._all_named(term_ids))

    @panics_refused()
    def characters(self, text: str) -> Mapping[int, set[str]]:
        """The characters of a text, as far as it is read, that have only parts among its terms, by part."""
        (reading,) = self.read([text])
        found: dict[int, set[str]] = {}
        for character in reading.rare:
            for term in self.rare.terms(character):
                found.setdefault(term, set()).add(character)
        if self._spelling.byte_level:
            encoding = self._backend.encode(reading.text)
            for term, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
                if self.is_part(term) and (characters := reading.text[start:end].strip()):
                    found.setdefault(term, set()).add(characters)
        return found

    def _all_named(self, term_ids: Sequence[int]) -> list[_Named]:
        names = self._names
        try:
            return [names[term_id] for term_id in term_ids]
        except KeyError:
            return [self._named(term_id) for term_id in term_ids]

    def _named(self, term_id: int) -> _Named:
        """What there is to say of a term, worked out once."""
        named = self._names.get(term_id)
        if named is None:
            if not isinstance(term_id, Integral):
                raise InvalidParameterError(f"a term is of type {type(term_id).__name__}; it must be a whole number")
            token = self._token(int(term_id))
            named = _Named(
                token,
                token if int(term_id) in self._special else self._spelling.surface(token),
                int(term_id) in self.rare or (self._spelling.byte_level and not is_whole(token)),
            )
            self._names[term_id] = named
        return named

    def _token(self, term_id: int) -> str:
        if not 0 <= term_id < self.size:
            raise InvalidParameterError(
                f"term {term_id} is outside a vocabulary of {self.size} terms: ask the encoder that gave it"
            )
        token: str | None = self._backend.id_to_token(int(term_id))
        return f"[term {term_id}]" if token is None else token

    @panics_refused()
    def read(self, texts: Sequence[str], prompt: str = "") -> list[Reading]:
        """What the model reads of each text.

        Args:
            texts: The texts.
            prompt: What stands before each of them; its tokens count towards the length, but are not terms of the text.

        Raises:
            UnsafeModelError: The tokenizer panics at one of them.
        """
        prefixed = self._prefixed(texts, prompt)
        encodings = [encoding for _, encoding in prefixed]
        # Of texts this short the prompt may be all that is left.
        shortest = len(self._backend.encode(prompt).ids)
        doubtful = [n for n, encoding in enumerate(encodings) if len(encoding) <= shortest]
        empty = {
            n
            for n, terms in zip(doubtful, self._backend.encode_batch([texts[n] for n in doubtful]), strict=True)
            if not any(mask == 0 for mask in terms.special_tokens_mask)
        }
        empty |= {n for n, text in enumerate(texts) if not text.strip()}
        return [
            _NOTHING if n in empty else self._reading(encoding, len(prompt), prefix)
            for n, (prefix, encoding) in enumerate(prefixed)
        ]

    @panics_refused()
    def count(self, texts: Sequence[str], prompt: str = "") -> list[int]:
        """How many tokens the whole of each text has, prompt and special tokens included."""
        around = self._backend.num_special_tokens_to_add(is_pair=False)
        counts: list[int] = []
        for start in range(0, len(texts), _COUNTED_AT_ONCE):
            encodings = self._backend.encode_batch([prompt + text for text in texts[start : start + _COUNTED_AT_ONCE]])
            counts += [
                len(encoding.ids) + sum(len(rest.ids) - around for rest in encoding.overflowing)
                for encoding in encodings
            ]
        return counts

    @panics_refused()
    def located(self, text: str, prompt: str = "") -> tuple[list[int], list[Span | None], TextSpans]:
        """The tokens that the model sees of a text, where each stands, and the same by term.

        Args:
            text: A text.
            prompt: What stands before it.

        Raises:
            UnsafeModelError: The tokenizer panics at it.
        """
        ((prefix, encoding),) = self._prefixed([text], prompt)
        spans = spans_of_tokens(encoding, prefix, len(prompt), self.rare)
        terms = spans_of_terms(encoding.ids, spans, self._special, self.rare)
        read = (0, len(text))
        if encoding.overflowing:
            places = [span for span in spans if span is not None]
            first, last = (places[0][0], max(stop for _, stop in places)) if places else (0, 0)
            read = (0, last) if self._side == "right" else (first, len(text))
        return encoding.ids, spans, TextSpans(len(text), read, terms)

    def _prefixed(self, texts: Sequence[str], prompt: str) -> list[tuple[str, Any]]:
        """As much of each text as the model reads, or a little more, and the tokens of it."""
        if self._side == "right":
            return encode_prefixes(self._backend, texts, prompt, self.max_length)
        whole = self._backend.encode_batch([prompt + text for text in texts])
        return list(zip(texts, whole, strict=True))

    def _reading(self, encoding: Any, n_prompt: int, text: str) -> Reading:
        cut, n_read = bool(encoding.overflowing), 0
        if cut:
            spans = [span for span, word in zip(encoding.offsets, encoding.word_ids, strict=True) if word is not None]
            n_read = max(0, spans[-1][1] - max(n_prompt, spans[0][0])) if spans else 0
        ids = np.array(encoding.ids, np.int32)
        terms = self._terms(encoding, ids, n_prompt)
        rare = self.rare.among(ids)
        return Reading(len(ids), cut, n_read, self.rare.literal(terms, rare), text, rare, ids)

    def _terms(self, encoding: Any, ids: NDArray[np.int32], n_prompt: int) -> NDArray[np.int32]:
        if n_prompt:  # a token that begins in the prompt and ends in the text is the text's
            ids = ids[[end > n_prompt for _, end in encoding.offsets]]
        return np.unique(ids[~self._is_special[ids]])
