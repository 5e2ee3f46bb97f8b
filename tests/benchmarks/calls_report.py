"""The figures of ``calls.py`` as tables, for the terminal and as Markdown. Runs alone on a calls.json as well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from callers import N_CALLERS
from doors import BARE, EXPLAINED, INDEX, READ, K

__all__ = ["markdown", "show"]

Row = Mapping[str, Any]
Table = tuple[str, list[str], list[list[str]]]


def _ms(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _spread(values: Sequence[float]) -> str:
    return f"({_ms(min(values))} to {_ms(max(values))})"


def _door(run: Row, name: str, k: int) -> Row | None:
    return next((row for row in run["doors"] if row["k"] == k and row["door"] == name), None)


def _time(run: Row, name: str, k: int) -> str:
    row = _door(run, name, k)
    return "–" if row is None else f"{_ms(row['median_ms'])} {_spread(row['rounds_ms'])}"


def _ratio(run: Row, name: str, k: int) -> str:
    row = _door(run, name, k)
    if row is None:
        return "–"
    beside = row["beside"][INDEX]
    return f"{_ms(row['median_ms'])}, {beside['ratio']:.2f}x {_spread(beside['ratio_rounds'])}"


def _over(run: Row, name: str, k: int, other: str) -> str:
    row = _door(run, name, k)
    if row is None:
        return "–"
    beside = row["beside"][other]
    return f"{_ms(beside['over_ms'])} {_spread(beside['over_rounds_ms'])}"


def _gain(run: Row, name: str, reference: str) -> str:
    rates, beside = (np.array(run["callers"][key]) for key in (name, reference))
    ratios = rates / beside
    return f"{np.median(rates):,.0f}, {np.median(ratios):.2f}x {_spread(ratios.tolist())}"


def _tables(results: Row) -> Iterator[Table]:
    runs = results["runs"]
    head = ["texts", "documents"]
    names = [[run["length"], f"{run['n_documents']:,}"] for run in runs]
    for k in K:
        yield (
            f"The call, k = {k}: ms, and times as long as index.search",
            [*head, INDEX, BARE, EXPLAINED, READ],
            [
                [*name, _time(run, INDEX, k), *(_ratio(run, door, k) for door in (BARE, EXPLAINED, READ))]
                for name, run in zip(names, runs, strict=True)
            ],
        )
    yield (
        "The adapters: ms on top of the facade's call, and on top of the same with explanations read",
        [*head, *(f"{door}, k = {k}{read}" for door in _ADAPTERS for k in K for read in ("", ", read"))],
        [
            [*name, *(_over(run, door, k, other) for door in _ADAPTERS for k in K for other in (EXPLAINED, READ))]
            for name, run in zip(names, runs, strict=True)
        ],
    )
    k = max(K)
    yield (
        f"Other ways to ask, k = {k}: ms, and ms on top of index.search",
        [*head, *(title for way in _OTHERS for title in (way, "on top"))],
        [
            [*name, *(cell(run, door) for door in _OTHERS for cell in (_time_at(k), _over_at(k)))]
            for name, run in zip(names, runs, strict=True)
        ],
    )
    with_callers = [(name, run) for name, run in zip(names, runs, strict=True) if "callers" in run]
    if with_callers:
        n_batch = with_callers[0][1]["callers"]["n_batch"]
        yield (
            f"Many callers, k = {k}: queries/s of index.search, and times those of one caller on one thread",
            [*head, "one, one thread", "one, free", f"{N_CALLERS} callers", f"{n_batch} in one call"],
            [
                [
                    *name,
                    f"{np.median(run['callers']['one_thread']):,.0f}",
                    *(_gain(run, way, "one_thread") for way in ("one", "many", "batch")),
                ]
                for name, run in with_callers
            ],
        )


_ADAPTERS = ("LangChain", "LlamaIndex")
_OTHERS = ("search_diverse", "ids=, others each time", "ids=, the same")


def _time_at(k: int) -> Any:
    return lambda run, door: _time(run, door, k)


def _over_at(k: int) -> Any:
    return lambda run, door: _over(run, door, k, INDEX)


def show(results: Row, console: Any) -> None:
    """Print the tables."""
    from rich.table import Table as Grid

    for title, columns, rows in _tables(results):
        grid = Grid(title=title, title_justify="left")
        for place, column in enumerate(columns):
            grid.add_column(column, justify="right" if place else "left")
        for row in rows:
            grid.add_row(*row)
        console.print(grid)


def markdown(results: Row) -> str:
    """All tables, and what they were measured on."""
    machine, runs = results["machine"], results["runs"]
    settings = runs[-1]["settings"]
    loads = [load for run in runs for load in run["load_average"]]
    lines = [
        (
            f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB,"
            f" {machine['system']}, Python {machine['python']}; load average {min(loads):.1f} to {max(loads):.1f}."
            f" pixie-retrievers {results['version']}."
        ),
        "",
        (
            f"{settings['queries']} queries, {settings['rounds']} rounds. A figure is the median of all rounds; in"
            " brackets the lowest and the highest median of a round."
        ),
        "",
    ]
    for title, columns, rows in _tables(results):
        lines += [f"**{title}**", "", f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def main(results_file: Path) -> None:
    """Write calls.md beside a calls.json."""
    results = json.loads(results_file.read_text(encoding="utf-8"))
    results_file.with_suffix(".md").write_text(markdown(results), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
