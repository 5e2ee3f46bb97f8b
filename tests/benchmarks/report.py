"""Results as tables for the terminal, as Markdown, and as a plot. Runs alone on a results.json as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from filtering import FILTERS

__all__ = ["growth", "markdown", "plot", "show"]

Row = Mapping[str, Any]


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _s(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _mb(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1e6:.1f}" if value < 1e7 else f"{value / 1e6:,.0f}"


def _get(row: Row, *path: str) -> Any:
    value: Any = row
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _speed(row: Row) -> str:
    speed, rounds = _get(row, "latency", "speed"), _get(row, "latency", "speed_rounds")
    return "–" if speed is None else f"{speed:.2f} ({min(rounds):.2f}-{max(rounds):.2f})"


def _median_of(row: Row, key: str) -> str:
    values = _get(row, "changes", key)
    return "–" if not values else _s(sorted(values)[len(values) // 2])


def _first_of(row: Row, key: str) -> str:
    values = _get(row, "changes", key)
    return "–" if not values else _s(values[0])


def _filter(name: str, row: Row, _run: Row) -> str:
    figures = _get(row, "filtering", "added_ms", name)
    return "–" if not figures else " / ".join(map(_ms, figures))


def _per_posting(row: Row, run: Row) -> str:
    index = _get(row, "disk", "index") or _get(row, "disk", "files")
    return "–" if index is None else f"{index / run['n_postings']:.2f}"


def _queries_per_second(row: Row) -> str:
    rates = row.get("queries_per_second") or {}
    return " / ".join(f"{rate:,.0f}" for rate in rates.values()) or "–"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _recall(row: Row) -> str:
    recall = _get(row, "agreement", "recall")
    return "–" if recall is None else f"{recall:.3f}"


_LATENCY: dict[str, Callable[[Row, Row], str]] = {
    "median ms": lambda row, run: _ms(_get(row, "latency", "median_ms")),
    "p95 ms": lambda row, run: _ms(_get(row, "latency", "p95_ms")),
    "p99 ms": lambda row, run: _ms(_get(row, "latency", "p99_ms")),
    "speed": lambda row, run: _speed(row),
    "recall@k": lambda row, run: _recall(row),
    "queries/s, 1 / 8 callers": lambda row, run: _queries_per_second(row),
    "in one call": lambda row, run: _rate(row.get("batch_queries_per_second")),
}
_STORAGE: dict[str, Callable[[Row, Row], str]] = {
    "build s": lambda row, run: _s(row.get("build_s")),
    "files MB": lambda row, run: _mb(_get(row, "disk", "files")),
    "index MB": lambda row, run: _mb(_get(row, "disk", "index")),
    "bytes/posting": _per_posting,
    "import s": lambda row, run: _s(_get(row, "cold", "import_s")),
    "open s": lambda row, run: _s(_get(row, "cold", "open_s")),
    "first answer s": lambda row, run: _s(_get(row, "cold", "first_s")),
    "process to answer s": lambda row, run: _s(_get(row, "cold", "total_s")),
    "same, files not cached": lambda row, run: _s(_get(row, "cold_forgotten", "total_s")),
    "RSS MB": lambda row, run: _mb(_get(row, "cold", "rss_bytes")),
}
_CHANGES: dict[str, Callable[[Row, Row], str]] = {
    "add 1,000 s, first": lambda row, run: _first_of(row, "add_1000_s"),
    "median of 3": lambda row, run: _median_of(row, "add_1000_s"),
    "search after ms": lambda row, run: _ms(
        None if not row.get("changes") else row["changes"]["search_after_add_s"] * 1e3
    ),
    "delete 1,000 s, first": lambda row, run: _first_of(row, "delete_1000_s"),
    "median of 3 ": lambda row, run: _median_of(row, "delete_1000_s"),
}
_FILTERS: dict[str, Callable[[Row, Row], str]] = {
    "search without ms": lambda row, run: _ms(_get(row, "filtering", "plain_ms")),
    **{f"{name}: first / again / after adding ms": partial(_filter, name) for name in FILTERS},
    "columns, bytes a document": lambda row, run: _ms(_get(row, "filtering", "column_bytes")),
}


def _tables(run: Row) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    for title, columns in (
        ("Latency", _LATENCY),
        ("Size, cold process, memory", _STORAGE),
        ("Changes", _CHANGES),
        ("Filters", _FILTERS),
    ):
        rows = []
        for name, row in run["peers"].items():
            cells = [column(row, run) for column in columns.values()]
            if any(cell != "–" for cell in cells):
                rows.append([name, *cells])
        yield title, ["engine", *columns], rows
    for name, parts in run.get("profile", {}).items():
        rows = [
            [part, _ms(numbers["ms"]), f"{numbers['share']:.0%}", f"{numbers['calls']:.1f}"]
            for part, numbers in parts.items()
        ]
        yield f"Where the search of {name} spends its time", ["part", "ms a query", "share", "calls"], rows


def growth(results: Row) -> tuple[list[str], list[list[str]]]:
    """How many times as long a search takes from one size to the next: header and rows of a table."""
    columns: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(run["vectors"] for run in results["runs"]):
        runs = sorted((run for run in results["runs"] if run["vectors"] == kind), key=lambda run: run["n_documents"])
        for small, large in pairwise(runs):
            title = f"{kind}, {small['n_documents']:,} to {large['n_documents']:,}"
            for name, row in large["peers"].items():
                before = _get(small["peers"], name, "latency", "median_ms")
                after = _get(row, "latency", "median_ms")
                if before and after:
                    columns.setdefault(title, {})[name] = after / before
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [
        [name, *(f"{column[name]:.1f}x" if name in column else "–" for column in columns.values())] for name in names
    ]
    return ["engine", *columns], rows


def _heading(run: Row) -> str:
    return (
        f"{run['vectors']}, {run['n_documents']:,} documents"
        f" ({run['n_postings'] / 1e6:,.1f} million postings, {run['postings_per_query']:,.0f} of them in the lists of a"
        f" query's {run['terms_per_query']:.0f} terms)"
    )


def show(run: Row, console: Any) -> None:
    """Print the tables of one set of vectors."""
    from rich.table import Table

    console.rule(_heading(run))
    for title, columns, rows in _tables(run):
        table = Table(title=title, title_justify="left")
        for place, column in enumerate(columns):
            table.add_column(column, justify="right" if place else "left", no_wrap=place == 0)
        for row in rows:
            table.add_row(*row)
        if rows:
            console.print(table)
    for name, reason in run["left_out"].items():
        console.print(f"left out: {name}: {reason}", markup=False, highlight=False)


def markdown(results: Row) -> str:
    """All tables, and what they were measured on."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [
        (
            f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB,"
            f" {machine['system']}, Python {machine['python']}."
        ),
        "",
        f"Versions: {versions}.",
        "",
    ]
    for run in results["runs"]:
        settings = run["settings"]
        lines += [f"## {_heading(run)}", "", f"Vectors: {run['description']}.", ""]
        lines += [
            (
                f"k = {settings['k']}, {settings['queries']} queries, {settings['rounds']} rounds; load average"
                f" {run['load_average'][0]:.1f} before the rounds and {run['load_average'][1]:.1f} after."
            ),
            "",
        ]
        for title, columns, rows in _tables(run):
            if rows:
                lines += [f"**{title}**", "", f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
                lines += [f"| {' | '.join(row)} |" for row in rows]
                lines.append("")
        lines += [f"- Left out: {name}: {reason}." for name, reason in run["left_out"].items()]
        lines.append("")
    columns, rows = growth(results)
    if rows:
        lines += ["## Growth of the median", "", f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


_STYLES = {
    "pixie": ("#0b6e99", 2.6),
    "pixie 2 threads": ("#4aa8d0", 2.0),
    "splade-index": ("#d1495b", 2.2),
    "scipy": ("#7a7a7a", 1.4),
    "numpy": ("#a0a0a0", 1.4),
    "seismic cut 10": ("#66a182", 1.4),
    "milvus-lite": ("#8d6cab", 1.4),
    "qdrant local": ("#c08b30", 1.4),
}
_CALLED = {"pixie": "pixie (whole call)", "splade-index": "splade-index (bare kernel)", "scipy": "scipy matrix"}


def plot(results: Row, path: Path) -> None:
    """Median latency against the number of documents, log-log, a panel for each kind of vectors."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    kinds = list(dict.fromkeys(run["vectors"] for run in results["runs"]))
    figure, panels = plt.subplots(1, len(kinds), figsize=(6.2 * len(kinds), 4.8), sharey=True, squeeze=False)
    for panel, kind in zip(panels[0], kinds, strict=True):
        lines = _lines(results, kind)
        for name, points in lines.items():
            color, width = _STYLES[name]
            panel.plot(*zip(*points, strict=True), color=color, linewidth=width, marker="o", markersize=4)
        panel.set(xscale="log", yscale="log", xlabel="documents", title=f"{kind} vectors")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.grid(visible=True, which="major", color="#e4e4e4", linewidth=0.8)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    panels[0][0].set_ylabel("median milliseconds a query (k = 10)")
    low, high = panels[0][0].get_ylim()
    for panel, kind in zip(panels[0], kinds, strict=True):
        left, right = panel.get_xlim()
        panel.set_xlim(left, right * (right / left) ** 0.5)
        for name, x, y, label_y in _labels(_lines(results, kind), low, high):
            panel.annotate(
                _CALLED.get(name, name),
                (x, y),
                xytext=(x * (right / left) ** 0.06, label_y),
                color=_STYLES[name][0],
                fontsize=9,
                va="center",
                arrowprops={"arrowstyle": "-", "color": _STYLES[name][0], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
            )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _lines(results: Row, kind: str) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    for run in sorted(results["runs"], key=lambda run: run["n_documents"]):
        for name, row in run["peers"].items():
            median = _get(row, "latency", "median_ms")
            if run["vectors"] == kind and median is not None and name in _STYLES:
                lines.setdefault(name, []).append((run["n_documents"], median))
    return lines


def _labels(
    lines: Mapping[str, list[tuple[int, float]]], low: float, high: float
) -> Iterator[tuple[str, float, float, float]]:
    """Where each line ends, and a height for its label at which no two labels that are near overlap."""
    step = (high / low) ** 0.05
    taken: list[tuple[float, float]] = []
    for name, points in sorted(lines.items(), key=lambda line: line[1][-1][1]):
        x, y = points[-1]
        height = y
        for other_x, other in sorted(taken, key=lambda place: place[1]):
            if other_x == x and height < other * step:
                height = other * step
        taken.append((x, height))
        yield name, x, y, height


def main(results_file: Path) -> None:
    """Write results.md and latency.png beside a results.json."""
    results = json.loads(results_file.read_text(encoding="utf-8"))
    results_file.with_suffix(".md").write_text(markdown(results), encoding="utf-8")
    plot(results, results_file.with_name("latency.png"))


if __name__ == "__main__":
    typer.run(main)
