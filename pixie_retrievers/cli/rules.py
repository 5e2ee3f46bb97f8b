"""`pixie rules`: what an index does to the tokens of queries: shown, set, removed, undone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pixie_retrievers.cli.options import IndexFile, ModelName
from pixie_retrievers.cli.terminal import counted, notes, output, print_json

if TYPE_CHECKING:
    from pixie_retrievers.rules.rules import Rules
    from pixie_retrievers.rules.words import Words

__all__ = ["rules", "rules_view"]

_SHOWN = 40


def rules(
    index_file: IndexFile,
    factors: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="WORD=FACTOR",
            help="Multiply a token's weight in queries; 0 mutes it. May be repeated.",
            show_default=False,
        ),
    ] = None,
    expansions: Annotated[
        list[str] | None,
        typer.Option(
            "--expand",
            metavar="WORD->WORD=WEIGHT",
            help="Queries with the first word get the second. Pieces of a word: 연+차->휴가=0.8. May be repeated.",
            show_default=False,
        ),
    ] = None,
    removed: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", metavar="WORD", help="Drop the rules that name a token. May be repeated.", show_default=False
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Drop all rules.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last change back.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the rules to a file.", show_default=False)
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Take all rules from a file.", show_default=False),
    ] = None,
    model: ModelName = None,
    show_all: Annotated[bool, typer.Option("--all", help=f"Show more than the first {_SHOWN}.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rules as one JSON document.")] = False,
) -> None:
    """Show the rules that weigh the tokens of queries, or change them, in one commit. Documents stay as they are."""
    changes = bool(factors or expansions or removed or clear or source)
    if undo and changes:
        raise typer.BadParameter("it goes alone: other changes would be undone with it", param_hint="--undo")

    from pixie_retrievers.cli.models import encoder_for_index
    from pixie_retrievers.index.opening import open_index
    from pixie_retrievers.rules import stored
    from pixie_retrievers.rules.files import read_rules, to_plain, write_rules
    from pixie_retrievers.rules.rules import Rules

    with closing(open_index(index_file, read_only=not (changes or undo))) as index:
        if factors or expansions or removed or source:
            with notes().status("loading the model"):
                encoder = encoder_for_index(index.fingerprint, model)
        kept = stored.StoredRules().of(index)
        if undo:
            kept = stored.undo(index)
        elif changes:
            base = kept.version
            kept = Rules() if clear else kept
            if factors or expansions or removed or source:
                if source:
                    kept = read_rules(source, encoder)
                kept = _changed(kept, encoder, factors or [], expansions or [], removed or [])
            kept = stored.write(index, kept, base)
    if export:
        write_rules(export, kept)
        notes().print(Text(f"wrote {export}"), soft_wrap=True)
    if as_json:
        print_json(to_plain(kept))
    elif not export:
        output().print(rules_view(kept, None if show_all else _SHOWN))


def _changed(kept: Rules, encoder: object, factors: list[str], expansions: list[str], removed: list[str]) -> Rules:
    from pixie_retrievers.errors import InvalidParameterError
    from pixie_retrievers.rules.rules import Expansion, Factor, Rules
    from pixie_retrievers.rules.words import Words

    words = Words(encoder)  # type: ignore[arg-type]
    for word in removed:
        terms = words.terms(_pieces(words, word))
        fewer = kept.without(terms)
        if len(fewer) == len(kept):
            raise InvalidParameterError(f"there is no rule about {word!r}: `pixie rules INDEX` shows those there are")
        kept = fewer
    new = []
    for text in factors:
        word, number = _parted(text, "--set", "WORD=FACTOR")
        new.append(Factor(words.term(word), number))
    added = []
    for text in expansions:
        arrow, number = _parted(text, "--expand", "WORD->WORD=WEIGHT")
        source, found, target = arrow.partition("->")
        if not found:
            raise typer.BadParameter(f"{text!r} is not WORD->WORD=WEIGHT", param_hint="--expand")
        sources = words.terms(_pieces(words, source.strip()))
        added += [Expansion(sources, one, number) for one in words.terms(_pieces(words, target.strip()))]
    return kept.merged(Rules(tuple(new), tuple(added)))


def _pieces(words: Words, text: str) -> str | list[str]:
    """A word; or its pieces, where they are written with a plus between them."""
    return text.split("+") if "+" in text.strip("+") and len(words.pieces(text)) > 1 else text


def _parted(text: str, option: str, form: str) -> tuple[str, float]:
    word, found, number = text.rpartition("=")
    try:
        return word.strip(), float(number)
    except ValueError:
        word = ""
    raise typer.BadParameter(f"{text!r} is not {form}" + ("" if found else ": there is no ="), param_hint=option)


def rules_view(rules: Rules, most: int | None) -> RenderableType:
    """Rules as a table, those of a person first."""
    if not rules:
        return Text("No rules: queries are searched as the model weighs them.")
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=40, overflow="ellipsis", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    rows = [(one.origin, f"{one.term.surface}", f"× {one.factor:g}") for one in rules.factors]
    rows += [
        (one.origin, f"{'+'.join(t.surface for t in one.sources)} → {one.target.surface}", f"× {one.weight:g}")
        for one in rules.expansions
    ]
    rows.sort(key=lambda row: row[0].learned_on is not None)
    for origin, name, effect in rows[:most]:
        table.add_row(Text(name), Text(effect), Text(str(origin), style="dim"))
    told = f"{counted(len(rules), 'rule')}, version {rules.version}"
    if most is not None and len(rows) > most:
        told += f"; {len(rows) - most:,} of them not shown: --all shows them"
    return Group(table, Text(told, style="dim"))
