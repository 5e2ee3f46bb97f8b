"""`pixie tune`: factors of tokens from judged questions, measured before anything is written."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from pixie_retrievers.cli.options import Device, Encoding, IndexFile, ModelName
from pixie_retrievers.cli.terminal import counted, notes, output, print_json

if TYPE_CHECKING:
    from pixie_retrievers.tuning.effects import Change
    from pixie_retrievers.tuning.report import TuningReport

__all__ = ["tune"]

_EXAMPLES = 5
_TOKENS = 20
_NAMED = 5


def tune(
    index_file: IndexFile,
    judged: Annotated[
        Path,
        typer.Argument(
            metavar="JUDGED",
            help='A file with a row a question: {"question", "relevant"}, or {"question", "shown", "clicked"}.',
            show_default=False,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Keep the factors without asking, if they help.")] = False,
    encoding: Encoding = None,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
) -> None:
    """Learn from judged questions, or from clicks, how much tokens should count in queries; say whether it helps.

    It is measured on questions that were held out. Factors are kept only where the gain is beyond chance and you agree;
    `pixie rules INDEX --undo` takes them back.
    """
    from pixie_retrievers.cli.models import retriever_of
    from pixie_retrievers.index.opening import open_index

    with closing(open_index(index_file, read_only=True)) as index:
        retriever = retriever_of(index, model, device=device)
        report = retriever.tune(judged, encoding=encoding, show_progress=notes().is_terminal)
    if not as_json:
        output().print(_report_view(report))
    keep = report.rules is not None and (yes or (not as_json and _agreed(report)))
    if keep and report.rules is not None:
        from pixie_retrievers.rules import stored

        with closing(open_index(index_file)) as index:
            version = stored.write(index, report.rules, report.rules.version).version
        notes().print(Text(f"kept, as version {version}; `pixie rules {index_file} --undo` takes it back"))
    if as_json:
        print_json(report.to_dict() | {"kept": keep})


def _agreed(report: TuningReport) -> bool:
    if not sys.stdin.isatty():
        notes().print("nothing is written: --yes keeps the factors")
        return False
    return typer.confirm(f"Keep {counted(len(report.changed), 'factor')}?", err=True)


def _report_view(report: TuningReport) -> RenderableType:
    split = "about other documents" if report.split_by == "document" else "some about the same documents"
    lines = [
        Text(report.summary, style="bold"),
        Text(
            f"learned from {counted(report.n_learned, 'question')}, measured on {report.n_held_out:,} others, {split}",
            style="dim",
        ),
    ]
    if report.unknown_ids:
        named = ", ".join(report.unknown_ids[:_NAMED]) + (" …" if len(report.unknown_ids) > _NAMED else "")
        lines.append(Text(f"not in the index: {counted(len(report.unknown_ids), 'id')}: {named}", style="yellow"))
    if report.n_merged:
        lines.append(Text(f"{counted(report.n_merged, 'row')} about a question that stood there before", style="dim"))
    if report.n_dropped:
        lines.append(Text(f"nothing to learn from: {report.n_dropped:,} questions or rows", style="yellow"))
    lines += [Text(note, style="yellow") for note in report.notes]
    if report.changed:
        changed = " · ".join(f"{one.term.surface} × {one.factor:g}" for one in report.changed[:_TOKENS])
        others = len(report.changed) - _TOKENS
        lines.append(Text(f"\nchanged most: {changed}" + (f" · {others:,} more" if others > 0 else "")))
    if report.strength is None:
        return Group(*lines)
    lines += _examples("better", report.gained) + _examples("worse", report.lost)
    return Group(*lines)


def _examples(kind: str, changes: tuple[Change, ...]) -> list[Text]:
    if not changes:
        return [Text(f"\nno question is answered {kind}")]
    lines = [Text(f"\n{counted(len(changes), 'question')} answered {kind}")]
    lines += [Text(f"  {one.before:.2f} → {one.after:.2f}  {one.question}") for one in changes[:_EXAMPLES]]
    return lines
