"""Questions as vectors, weighed by the rules that are in force."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TypeAlias

import numpy as np

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.errors import InvalidParameterError, PixieWarning
from pixie_retrievers.index.base import Index
from pixie_retrievers.rules import stored
from pixie_retrievers.rules.files import read_rules
from pixie_retrievers.rules.rules import Rules
from pixie_retrievers.types import AppliedRule, SparseVectors

__all__ = ["Applied", "Asking", "RulesChoice", "check_rules"]

RulesChoice: TypeAlias = bool | Rules | str | os.PathLike[str]
"""True for the rules that the index holds, False for none, or other ones, as an object or the path of a file."""

Applied: TypeAlias = Mapping[int, AppliedRule] | None


class Asking:
    """The part of :class:`~pixie_retrievers.SparseRetriever` that reads questions: it has an encoder and an index."""

    encoder: Encoder
    index: Index

    @property
    def rules(self) -> Rules:
        """The rules of the index, as of its newest commit: every search keeps them, unless it is told not to."""
        return self._stored_rules.of(self.index)

    def set_rules(self, rules: Rules, *, base: int | None = None) -> Rules:
        """Put rules into the index, in one commit, in place of those that it holds; return them with their version.

        Every reader of the file keeps them from its next search on. :meth:`undo_rules` takes the change back.

        Args:
            rules: As :meth:`rules_of` makes them; ``retriever.rules.merged(...)`` keeps the others; ``Rules()`` are
                none.
            base: The version of the index's rules that these were made from: where somebody has changed them meanwhile,
                nothing is written. None replaces whatever is there.

        Raises:
            InvalidParameterError: These are not rules; or the index has no place for them, or holds others by now.
            IncompatibleIndexError: They name a term that the model lacks.
            IndexLockedError: Another writer holds the index.
        """
        if not isinstance(rules, Rules):
            raise InvalidParameterError(f"the rules are of type {type(rules).__name__}: pass Rules, as rules_of gives")
        rules.apply(SparseVectors.from_dicts([{}], self.index.vocabulary_size))  # refuses terms of another vocabulary
        return stored.write(self.index, rules, base)

    def undo_rules(self) -> Rules:
        """Put the rules back that the index held before their last change; return them. Twice, it does it again.

        Raises:
            InvalidParameterError: They were never changed, or the index has no place for them.
            IndexLockedError: Another writer holds the index.
        """
        return stored.undo(self.index)

    def chosen_rules(self, choice: RulesChoice) -> Rules:
        """The rules that are meant: the index's own, none, or others.

        Raises:
            InvalidParameterError: The choice is something else, or the file does not hold rules of this model.
            StorageError: The file cannot be read.
        """
        check_rules(choice)
        if isinstance(choice, Rules):
            return choice
        if isinstance(choice, bool):
            return self.rules if choice else Rules()
        return read_rules(choice, self.encoder)

    def query_vectors(self, texts: Iterable[str], rules: RulesChoice = True) -> tuple[SparseVectors, list[Applied]]:
        """Questions as a search asks them: their vectors under rules, and what the rules did to each.

        Args:
            texts: The questions.
            rules: As for :meth:`~pixie_retrievers.SparseRetriever.search`.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
            InvalidParameterError, IncompatibleIndexError: The rules are not what they should be.
        """
        chosen = self.chosen_rules(rules)
        vectors = self.encoder.encode_queries(texts if isinstance(texts, str) else list(texts))
        if not chosen:
            return vectors, [None] * len(vectors)
        weighed = chosen.apply(vectors)
        if chosen.mutes and (n_muted := int(((np.diff(weighed.indptr) == 0) & (np.diff(vectors.indptr) > 0)).sum())):
            warnings.warn(
                f"the rules mute every token of {n_muted} of {len(vectors)} questions, which find nothing:"
                " rules=False asks without them",
                PixieWarning,
                stacklevel=2,
            )
        return weighed, [chosen.applied(vectors[row]) for row in range(len(vectors))]

    @cached_property
    def _stored_rules(self) -> stored.StoredRules:
        return stored.StoredRules()


def check_rules(choice: object) -> None:
    """Refuse what does not say which rules are meant.

    Raises:
        InvalidParameterError: It is neither a boolean, nor rules, nor a path.
    """
    if not isinstance(choice, (bool, Rules, str, os.PathLike)):
        raise InvalidParameterError(
            f"rules is of type {type(choice).__name__}: True for the index's own, False for none, or Rules, or the path"
            " of a file of them"
        )
