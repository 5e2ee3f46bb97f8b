"""The table: Markdown, JSON and a bar chart."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import OptionalDependencyError
from pixie_retrievers.evaluation.metrics import CUTOFFS, DEPTH, Measures

__all__ = ["Result", "Summary", "draw", "markdown", "summarise", "to_json", "write_report"]


@dataclass(frozen=True, slots=True)
class Result:
    """What one system did on one collection.

    Attributes:
        system, task, split: Their names.
        n_queries: How many questions were judged.
        measures: The figures.
        seconds: From the first document to the last ranking.
    """

    system: str
    task: str
    split: str
    n_queries: int
    measures: Measures
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A system's mean over tasks.

    Attributes:
        system: Its name.
        reading: How splits were joined: "all" takes the mean of a task's splits first; "test only" leaves out the dev
            split of a task that has both.
        n_tasks: Over how many tasks.
        measures: The mean, each task counting alike.
    """

    system: str
    reading: str
    n_tasks: int
    measures: Measures


def summarise(results: Sequence[Result]) -> list[Summary]:
    """The mean over tasks of each system, in both readings where a task has two splits (MultiLongDocRetrieval)."""
    summaries = []
    for system in dict.fromkeys(result.system for result in results):
        by_task: dict[str, dict[str, Measures]] = {}
        for result in results:
            if result.system == system:
                by_task.setdefault(result.task, {})[result.split] = result.measures
        readings = {"all": [Measures.mean(list(splits.values())) for splits in by_task.values()]}
        if any({"dev", "test"} <= splits.keys() for splits in by_task.values()):
            readings["test only"] = [
                splits["test"] if {"dev", "test"} <= splits.keys() else Measures.mean(list(splits.values()))
                for splits in by_task.values()
            ]
        summaries += [Summary(system, reading, len(parts), Measures.mean(parts)) for reading, parts in readings.items()]
    return summaries


def markdown(results: Sequence[Result]) -> str:
    """One table a collection, and one of the means where there are several tasks."""
    head = ["Avg. NDCG", *(f"NDCG@{k}" for k in CUTOFFS), f"Recall@{DEPTH}"]
    lines = []
    for task, split in dict.fromkeys((result.task, result.split) for result in results):
        rows = [result for result in results if (result.task, result.split) == (task, split)]
        n = rows[0].n_queries
        questions = f"{n:,} question{'' if n == 1 else 's'}"
        lines += [f"## {task} ({split}, {questions})", "", *_table(["System", *head, "Seconds"])]
        lines += [_row([r.system, *_figures(r.measures), f"{r.seconds:.1f}"]) for r in rows]
        lines.append("")
    if len({result.task for result in results}) > 1:
        lines += ["## Mean over tasks", "", *_table(["System", "Splits", "Tasks", *head])]
        lines += [_row([s.system, s.reading, str(s.n_tasks), *_figures(s.measures)]) for s in summarise(results)]
        lines.append("")
    return "\n".join(lines)


def _table(head: list[str]) -> list[str]:
    return [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _figures(measures: Measures) -> list[str]:
    return [f"{value:.4f}" for value in (measures.average, *measures.ndcg.values(), measures.recall)]


def _plain(measures: Measures) -> dict[str, float]:
    figures = {f"ndcg@{k}": value for k, value in measures.ndcg.items()}
    return {
        name: round(value, 5)
        for name, value in ({"average_ndcg": measures.average} | figures | {f"recall@{DEPTH}": measures.recall}).items()
    }


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    """The same as plain JSON types, rounded to 5 places as the evaluators round."""
    return {
        "results": [
            {
                "system": result.system,
                "task": result.task,
                "split": result.split,
                "n_queries": result.n_queries,
                "seconds": round(result.seconds, 2),
                **_plain(result.measures),
            }
            for result in results
        ],
        "means": [
            {"system": s.system, "splits": s.reading, "n_tasks": s.n_tasks, **_plain(s.measures)}
            for s in summarise(results)
        ],
    }


def draw(results: Sequence[Result], path: Path) -> None:
    """A bar chart of the average NDCG: a group a collection, a bar a system.

    Raises:
        OptionalDependencyError: The extra ``evaluation`` is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionalDependencyError.of("a chart", "matplotlib", '"pixie-retrievers[evaluation]"') from error
    systems = list(dict.fromkeys(result.system for result in results))
    places = list(dict.fromkeys((result.task, result.split) for result in results))
    height = 0.8 + len(places) * (0.3 * len(systems) + 0.35)
    figure = Figure(figsize=(8, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    thickness = 0.8 / len(systems)
    for n, system in enumerate(systems):
        found = {(r.task, r.split): r.measures.average for r in results if r.system == system}
        values = [found.get(place, 0.0) for place in places]
        positions = [m + (n - (len(systems) - 1) / 2) * thickness for m in range(len(places))]
        bars = axes.barh(positions, values, thickness * 0.9, label=system)
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(places)), [f"{task}\n({split})" for task, split in places])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("average of NDCG@1, @3, @5, @10")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=min(3, len(systems)), frameon=False, fontsize=8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in Korean, and no font for it
        figure.savefig(path, dpi=150)


def write_report(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write ``results.md``, ``results.json`` and ``results.png``; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"results.{kind}" for kind in ("md", "json", "png")]
    paths[0].write_text(markdown(results), encoding="utf-8")
    paths[1].write_text(json.dumps(to_json(results), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    draw(results, paths[2])
    return paths
