"""`pixie info`: what an index file holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pixie_retrievers.cli.options import IndexFile
from pixie_retrievers.cli.terminal import counted, file_size, notes, one_line, output, print_json
from pixie_retrievers.encoder.fingerprint import parse
from pixie_retrievers.errors import IncompatibleIndexError, PixieError
from pixie_retrievers.text_fields import split_fingerprint

if TYPE_CHECKING:
    from pixie_retrievers.index.base import Index

__all__ = ["info"]


def info(
    index_file: IndexFile,
    check: Annotated[
        bool, typer.Option("--check", help="Read everything and hold it against its checksums; exit code 1 on damage.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON document.")] = False,
) -> None:
    """Show what an index holds and which model it was built with. Loads no model."""
    from pixie_retrievers.index.opening import open_index
    from pixie_retrievers.rules.stored import StoredRules

    with closing(open_index(index_file, read_only=True)) as index:
        stats = index.stats()
        questions = _questions(index)
        rules = StoredRules().of(index)
        if check:
            with notes().status("checking"):
                problems = [one_line(problem) for problem in index.check().problems]
    if as_json:
        queries = {} if questions is None else {"inference_free": questions}
        ruled = {"rules": {"n": len(rules), "version": rules.version, "fingerprint": rules.fingerprint}}
        print_json({**asdict(stats), **queries, **ruled, **({"problems": problems} if check else {})})
    else:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in (
            ("file", f"{stats.path} ({file_size(stats.file_bytes)})"),
            ("model", _model(stats.fingerprint)),
            *([("questions", _questions_line(questions))] if questions is not None else []),
            ("vocabulary", counted(stats.vocabulary_size, "term")),
            ("documents", f"{stats.n_documents:,}"),
            *([("cut", f"{counted(stats.n_cut, 'document')}, longer than the model reads")] if stats.n_cut else []),
            ("postings", f"{stats.n_postings:,}, weights as {stats.weights}"),
            ("segments", f"{stats.n_segments:,}"),
            ("deleted", f"{counted(stats.n_deleted, 'document')}, to be dropped by a merge"),
            *(
                [("rules", f"{counted(len(rules), 'rule')}, version {rules.version}, {rules.fingerprint}")]
                if rules
                else []
            ),
            ("commits", f"{stats.generation:,}"),
        ):
            table.add_row(name, Text(one_line(value)))  # a file may hold anything, its fingerprint too
        if check:
            table.add_row("check", Text("sound" if not problems else "\n".join(problems)))
        output().print(table)
    if check and problems:
        raise typer.Exit(1)


def _questions(index: Index) -> dict[str, Any] | None:
    """Where the table comes from that reads questions, or what is wrong with it; None where the index keeps none."""
    from pixie_retrievers.queries import stored_table

    try:
        table = stored_table(index)
    except PixieError as error:
        return {"problem": str(error)}
    return None if table is None else dict(json.loads(table.fingerprint))


def _questions_line(said: Mapping[str, Any]) -> str:
    if "problem" in said:
        return str(said["problem"])
    parts = [f"a table learned from {said['texts']:,} {said['source']} ({said['method']}, {said['created']})"]
    if "overlap_at_10" in said:
        parts.append(f"shares {said['overlap_at_10']:.1%} of the ten best with the model")
    return ", ".join(parts)


def _model(fingerprint: str) -> str:
    fingerprint, fields = split_fingerprint(fingerprint)
    try:
        said = parse(fingerprint)
        parts = [str(said["model"]), f"at most {said['max_length']:,} tokens"]
        parts += [f"{name} {said[name]}" for name in ("revision", "precision", "sha256") if said.get(name)]
        parts += [] if fields is None else [f"encodes {fields.template!r}"]
    except (IncompatibleIndexError, TypeError, ValueError):
        return fingerprint or "unknown"  # another encoder's
    return ", ".join(parts)
