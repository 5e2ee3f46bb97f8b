"""Rules as JSON: a small file that people read, and what an index holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.errors import InvalidParameterError, StorageError
from pixie_retrievers.rules.rules import BY_HAND, Expansion, Factor, Origin, Rules, Term
from pixie_retrievers.rules.words import Words

__all__ = ["FORMAT", "from_plain", "read_rules", "to_plain", "write_rules"]

FORMAT = "pixie-rules-1"

_TermOf = Callable[[Any], Term]


def read_rules(path: str | os.PathLike[str], encoder: Encoder) -> Rules:
    """The rules of a file.

    A token is found by the vocabulary's own spelling, ``token``; an entry that has none is read as a word, by what
    stands under ``surface``.

    Raises:
        InvalidParameterError: The file does not hold rules, or rules that the model has no tokens for.
        StorageError: It cannot be read.
    """
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"the rules in {os.fspath(path)} cannot be read: {error}") from error
    words = Words(encoder)

    def term_of(plain: Any) -> Term:
        token = plain.get("token")
        if token is None:
            return words.term(plain["surface"])
        if (term := words.token(token)) is None:
            raise InvalidParameterError(f"the model's vocabulary has no token {token!r}: these are another model's")
        return term

    try:
        return replace(from_plain(json.loads(content), term_of), version=0)
    except InvalidParameterError as error:
        raise InvalidParameterError(f"{os.fspath(path)}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidParameterError(
            f"{os.fspath(path)} does not hold rules ({type(error).__name__}: {error}): write one with `pixie rules"
            " INDEX --export FILE`, and change it"
        ) from error


def write_rules(path: str | os.PathLike[str], rules: Rules) -> None:
    """Write rules to a file, an entry a line; a file that is there is replaced.

    Raises:
        StorageError: It cannot be written.
    """
    plain = to_plain(rules)
    parts = [f'"format": {json.dumps(FORMAT)}', f'"version": {rules.version}']
    for name in ("factors", "expansions"):
        lines = ",\n    ".join(json.dumps(entry, ensure_ascii=False) for entry in plain[name])
        parts.append(f'"{name}": [\n    {lines}\n  ]' if lines else f'"{name}": []')
    try:
        Path(path).write_text("{\n  " + ",\n  ".join(parts) + "\n}\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"the rules cannot be written to {os.fspath(path)}: {error}") from error


def to_plain(rules: Rules, *, with_ids: bool = False) -> dict[str, Any]:
    """Rules as plain JSON types; with the numbers of their terms where one vocabulary alone will read them."""

    def named(term: Term) -> dict[str, Any]:
        return ({"id": term.id} if with_ids else {}) | {"token": term.token, "surface": term.surface}

    factors = [named(one.term) | {"factor": one.factor} | _origin(one.origin) for one in rules.factors]
    expansions = [
        {"from": [named(term) for term in one.sources], "to": named(one.target), "weight": one.weight}
        | _origin(one.origin)
        for one in rules.expansions
    ]
    return {"format": FORMAT, "version": rules.version, "factors": factors, "expansions": expansions}


def from_plain(plain: Mapping[str, Any], term_of: _TermOf | None = None) -> Rules:
    """Rules from what :func:`to_plain` gave.

    Args:
        plain: JSON types.
        term_of: Finds an entry's term; None takes the numbers.

    Raises:
        InvalidParameterError: A number is out of its range, or another program's format.
        LookupError, TypeError, ValueError, AttributeError: It is something else.
    """
    if plain.get("format", FORMAT) != FORMAT:
        raise InvalidParameterError(f"the rules are in the format {plain['format']!r}; this program reads {FORMAT!r}")
    find = term_of or (lambda one: Term(int(one["id"]), str(one["token"]), str(one["surface"])))
    return Rules(
        tuple(Factor(find(one), one["factor"], _of_origin(one)) for one in plain.get("factors", ())),
        tuple(
            Expansion(tuple(find(source) for source in one["from"]), find(one["to"]), one["weight"], _of_origin(one))
            for one in plain.get("expansions", ())
        ),
        int(plain.get("version", 0)),
    )


def _origin(origin: Origin) -> dict[str, Any]:
    """Nothing for a rule set by hand: so a person writes the shortest entry."""
    return {} if origin == BY_HAND else {"learned_on": origin.learned_on, "n_questions": origin.n_questions}


def _of_origin(plain: Mapping[str, Any]) -> Origin:
    if plain.get("learned_on") is None:
        return BY_HAND
    return Origin(str(plain["learned_on"]), int(plain.get("n_questions", 0)))
