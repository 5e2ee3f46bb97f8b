"""What a system is measured on: a folder in the BEIR layout, or one of the six Korean tasks of PIXIE's card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import (
    InvalidDocumentError,
    InvalidParameterError,
    ModelUnavailableError,
    OptionalDependencyError,
)
from pixie_retrievers.files.fields import Fields, Row
from pixie_retrievers.files.rows import ROW_SUFFIXES, InputFile, input_files, suffix_of
from pixie_retrievers.types import Document

__all__ = ["CARD_TASKS", "Collection", "card_task", "read_folder"]


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, questions, and which documents answer which question.

    Attributes:
        task: The data set's name.
        split: Which of its questions: "test", "dev".
        documents: Gives the documents anew at each call, one after the other. A text is ``(title + " " + text)``
            without outer spaces.
        queries: The text of every question that is judged, by its id.
        relevant: By question id and document id: how relevant, 1 or more.
    """

    task: str
    split: str
    documents: Callable[[], Iterator[Document]]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(
        cls,
        task: str,
        split: str,
        documents: Callable[[], Iterator[Document]],
        queries: Mapping[str, str],
        relevant: Mapping[str, Mapping[str, int]],
    ) -> Collection:
        """Keep the questions that have both a text and a relevant document, in the order of the questions."""
        judged = {
            id: {document: grade for document, grade in relevant[id].items() if grade > 0}
            for id in queries
            if id in relevant
        }
        judged = {id: grades for id, grades in judged.items() if grades}
        if not judged:
            raise InvalidParameterError(f"{task} ({split}): no question has a relevant document")
        return cls(task, split, documents, {id: queries[id] for id in judged}, judged)


def read_folder(folder: Path, split: str | None = None, *, encoding: str | None = None) -> Collection:
    """Read a folder in the BEIR layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``.

    Rows may as well be JSON, CSV, TSV or Parquet, judgements CSV, and text files may be compressed: ``corpus.csv.gz``.

    Args:
        folder: The folder.
        split: Which judgements; None takes "test", or the only ones there are.
        encoding: What files are written in that have no byte order mark and are not UTF-8.

    Raises:
        InvalidParameterError: A file is missing or not in the layout.
        InvalidDocumentError: A row is at fault; the message names file and line.
        InvalidTextError: A text is, or files are in other encodings, and one message names them all.
    """
    corpus, queries = _rows_file(folder, "corpus"), _rows_file(folder, "queries")
    if not (folder / "qrels").is_dir():
        raise InvalidParameterError(f"{folder} is not in the BEIR layout: there is no folder qrels")
    judgements = {
        path.name.partition(".")[0]: path
        for path in sorted((folder / "qrels").iterdir())
        if suffix_of(path) in (".tsv", ".csv")
    }
    if split is None:
        split = "test" if "test" in judgements or len(judgements) != 1 else next(iter(judgements))
    if split not in judgements:
        raise InvalidParameterError(f"{folder} has no split {split!r}; there is {', '.join(judgements) or 'none'}")
    corpus_file, queries_file, qrels = input_files([corpus, queries, judgements[split]], encoding)

    def documents() -> Iterator[Document]:
        for _, row in _identified(corpus_file):
            yield _document(row.id, row.title, row.text)

    return Collection.of(
        folder.resolve().name,
        split,
        documents,
        {str(row.id): row.text for _, row in _identified(queries_file)},
        _judgements(qrels),
    )


def _rows_file(folder: Path, name: str) -> Path:
    suffixes = [".jsonl", *sorted(ROW_SUFFIXES - {".jsonl"})]
    for path in (folder / f"{name}{suffix}{packed}" for suffix in suffixes for packed in ("", ".gz")):
        if path.exists():
            return path
    raise InvalidParameterError(f"{folder} is not in the BEIR layout: there is no {name}.jsonl")


def _identified(file: InputFile) -> Iterator[tuple[str, Row]]:
    for place, content in file.rows():
        row = Fields().of(content, place, is_table=file.is_table)
        if row.id is None:
            raise InvalidDocumentError(f"{place}: there is no id: judgements name a document and a question by it")
        yield place, row


def _judgements(file: InputFile) -> dict[str, dict[str, int]]:
    """By question and document: the grade. A first line without a grade is a header."""
    relevant: dict[str, dict[str, int]] = {}
    for number, (place, cells) in enumerate(file.cells()):
        grade = _grade(cells[-1])
        if len(cells) not in (3, 4) or (grade is None and number):
            separator = "tabs" if suffix_of(file.path) == ".tsv" else "commas"
            raise InvalidParameterError(
                f"{place}: not question, document and grade, a whole number, with {separator} between"
            )
        if grade is not None:
            relevant.setdefault(cells[0].strip(), {})[cells[-2].strip()] = grade
    return relevant


def _grade(cell: str) -> int | None:
    """A whole number, also as 1.0, which pandas makes of it."""
    try:
        return int(float(cell)) if float(cell).is_integer() else None
    except ValueError:
        return None


def _document(id: Any, title: Any, text: Any) -> Document:
    return Document(str(id), f"{title or ''} {text or ''}".strip())


def card_task(name: str) -> list[Collection]:
    """One of the six tasks by name, fetched from the hub: one collection a split.

    Raises:
        InvalidParameterError: There is no such task.
        OptionalDependencyError: The package ``datasets`` is missing.
        ModelUnavailableError: The hub cannot be reached, or no longer has the data.
    """
    if name not in CARD_TASKS:
        raise InvalidParameterError(f"{name!r} is not a task of the card; its tasks are {', '.join(CARD_TASKS)}")
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise OptionalDependencyError.of("fetching a task", "datasets") from error

    def load(path: str, configuration: str | None, split: str, revision: str | None = None) -> Any:
        return datasets.load_dataset(path, configuration, split=split, revision=revision)

    try:
        return CARD_TASKS[name](load)
    except Exception as error:  # the hub, the network and the data's format each raise their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelUnavailableError(
            f"the task {name} could not be fetched from the hub ({reason}): connect to it, or pass a folder in the BEIR"
            " layout"
        ) from error


_Load = Callable[..., Any]
# Data sets that the hub keeps with a program of their own, which is never run: it also keeps them converted.
_CONVERTED = "refs/convert/parquet"


def _beir(task: str, path: str, split: str, revision: str) -> Callable[[_Load], list[Collection]]:
    def collections(load: _Load) -> list[Collection]:
        corpus = load(path, "corpus", "corpus", revision)
        queries = {str(row["_id"]): row["text"] for row in load(path, "queries", "queries", revision)}
        relevant: dict[str, dict[str, int]] = {}
        for row in load(path, "default", split, revision):
            relevant.setdefault(str(row["query-id"]), {})[str(row["corpus-id"])] = int(row["score"])
        return [
            Collection.of(
                task,
                split,
                lambda: (_document(row["_id"], row.get("title"), row["text"]) for row in corpus),
                queries,
                relevant,
            )
        ]

    return collections


def _miracl(load: _Load) -> list[Collection]:
    path = "miracl/mmteb-miracl"
    corpus = load(path, "corpus-ko", "corpus", _CONVERTED)
    queries = {str(row["query_id"]): row["query"] for row in load(path, "queries-ko", "queries", _CONVERTED)}
    relevant: dict[str, dict[str, int]] = {}
    for row in load(path, "ko", "dev", _CONVERTED):
        relevant.setdefault(str(row["query_id"]), {})[str(row["docid"])] = int(row["score"])

    def documents() -> Iterator[Document]:
        return (_document(row["docid"], row["title"], row["text"]) for row in corpus)

    return [Collection.of("MIRACLRetrieval", "dev", documents, queries, relevant)]


def _public_health(load: _Load) -> list[Collection]:
    rows = [row for row in load("xhluca/publichealth-qa", "korean", "test") if row["question"] and row["answer"]]
    return [_paired("PublicHealthQA", [(row["question"], row["answer"]) for row in rows])]


def _belebele(load: _Load) -> list[Collection]:
    rows = load("facebook/belebele", "kor_Hang", "test", "75b39939")
    return [_paired("BelebeleRetrieval", [(row["question"], row["flores_passage"]) for row in rows])]


def _paired(task: str, pairs: list[tuple[str, str]]) -> Collection:
    """Questions and passages that stand side by side; those that stand twice count once."""
    passages = {text: f"D{n}" for n, text in enumerate(dict.fromkeys(text for _, text in pairs))}
    questions = {text: f"Q{n}" for n, text in enumerate(dict.fromkeys(text for text, _ in pairs))}
    relevant: dict[str, dict[str, int]] = {}
    for question, passage in pairs:
        relevant.setdefault(questions[question], {})[passages[passage]] = 1
    return Collection.of(
        task,
        "test",
        lambda: (Document(id, text.strip()) for text, id in passages.items()),
        {id: text for text, id in questions.items()},
        relevant,
    )


def _long_documents(load: _Load) -> list[Collection]:
    path = "Shitao/MLDR"
    corpus = load(path, "corpus-ko", "corpus", _CONVERTED)
    found = []
    for split in ("dev", "test"):
        rows = load(path, "ko", split, _CONVERTED)
        relevant = {str(row["query_id"]): {str(p["docid"]): 1 for p in row["positive_passages"]} for row in rows}
        queries = {str(row["query_id"]): row["query"] for row in rows}
        found.append(
            Collection.of(
                "MultiLongDocRetrieval",
                split,
                lambda: (_document(row["docid"], None, row["text"]) for row in corpus),
                queries,
                relevant,
            )
        )
    return found


CARD_TASKS: Mapping[str, Callable[[_Load], list[Collection]]] = {
    "Ko-StrategyQA": _beir("Ko-StrategyQA", "taeminlee/Ko-StrategyQA", "dev", "d243889a"),
    "AutoRAGRetrieval": _beir("AutoRAGRetrieval", "yjoonjang/markers_bm", "test", "fd7df84a"),
    "MIRACLRetrieval": _miracl,
    "PublicHealthQA": _public_health,
    "BelebeleRetrieval": _belebele,
    "MultiLongDocRetrieval": _long_documents,
}
