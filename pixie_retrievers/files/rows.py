"""Rows out of JSON Lines, JSON, CSV, TSV and Parquet files, one at a time, each with its place."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import InvalidDocumentError, InvalidParameterError, OptionalDependencyError
from pixie_retrievers.files.encodings import MAX_CHARACTERS, check_regular, lines, open_text, reading, text_encodings
from pixie_retrievers.files.objects import json_object, json_objects

__all__ = ["ROW_SUFFIXES", "InputFile", "input_files", "suffix_of"]

_JSONL = {".jsonl", ".ndjson"}
_TABLES = {".csv", ".tsv"}
ROW_SUFFIXES = {*_JSONL, ".json", *_TABLES, ".parquet"}
"""What holds rows; all but Parquet may be compressed, with ``.gz`` behind."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file whose encoding is known; it is opened anew each time it is read.

    Attributes:
        path: The file.
        encoding: Of a text file.
    """

    path: Path
    encoding: str = "utf-8"

    @property
    def is_table(self) -> bool:
        """Each row has every column: a cell without a value says that the row has none."""
        return suffix_of(self.path) in {*_TABLES, ".parquet"}

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each row, with the place that a message names.

        Raises:
            InvalidParameterError, InvalidDocumentError: The file cannot be read, or holds something else.
            OptionalDependencyError: It is a Parquet file, and pyarrow is not installed.
        """
        suffix = suffix_of(self.path)
        with reading(self.path):
            if suffix == ".parquet":
                yield from _parquet_rows(self.path)
            elif suffix in _TABLES:
                yield from self._table_rows(_number_columns(self._table_rows()))
            elif suffix == ".json" or self._begins_with_bracket():
                with open_text(self.path, self.encoding) as file:
                    yield from json_objects(file, str(self.path))
            else:
                yield from self._line_rows()

    def cells(self) -> Iterator[tuple[str, list[str]]]:
        """Each record of a table in text, the header too; blank lines are left out."""
        with reading(self.path), open_text(self.path, self.encoding, newline="") as file:
            rows = lines(self.path, file)
            first = next(rows, "")
            delimiter = "\t" if suffix_of(self.path) == ".tsv" else _delimiter(first)
            csv.field_size_limit(max(csv.field_size_limit(), MAX_CHARACTERS))  # 131,072 is less than a long page
            records = csv.reader(chain([first], rows), delimiter=delimiter, strict=True)
            number = 1
            while True:
                try:
                    record = next(records, None)
                except csv.Error as error:
                    raise InvalidDocumentError(f"{self.path}:{number}: not valid CSV: {error}") from None
                if record is None:
                    return
                if any(cell.strip() for cell in record):
                    yield f"{self.path}:{number}", record
                number = records.line_num + 1

    def _table_rows(self, numbers: frozenset[str] = frozenset()) -> Iterator[tuple[str, dict[str, Any]]]:
        records = self.cells()
        columns: list[str] | None = None
        for place, record in records:
            if columns is None:
                columns = _columns(record, place)
                continue
            if len(record) > len(columns):
                raise InvalidDocumentError(
                    f"{place}: {len(record)} cells under {len(columns)} columns: a cell that holds a separator needs"
                    " quotation marks around it"
                )
            row: dict[str, Any] = dict.fromkeys(columns, "") | dict(zip(columns, record, strict=False))
            row.pop("", None)  # pandas writes its row numbers under no name
            for column in numbers:
                if row[column]:
                    row[column] = _number(row[column])
            yield place, row

    def _begins_with_bracket(self) -> bool:
        with open_text(self.path, self.encoding) as file:
            while chunk := file.read(4096):
                if beginning := chunk.strip("\ufeff \t\r\n"):
                    return beginning.startswith("[")
        return False

    def _line_rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        with open_text(self.path, self.encoding) as file:
            for number, line in enumerate(lines(self.path, file), start=1):
                content = line.strip().strip("\ufeff")  # files that were joined have marks inside
                if content:
                    place = f"{self.path}:{number}"
                    yield place, json_object(content, place)


def suffix_of(path: Path) -> str:
    """What says how a file is read: its name's ending, in lower case, without a ``.gz`` behind."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def input_files(paths: Sequence[Path], encoding: str | None = None) -> list[InputFile]:
    """Files ready to be read: what they are written in is known of all of them before one is read.

    Args:
        paths: Files; all but Parquet are text.
        encoding: As ``named`` of :func:`~pixie_retrievers.files.encodings.text_encodings`.

    Raises:
        InvalidParameterError, InvalidTextError: As :func:`~pixie_retrievers.files.encodings.text_encodings`.
        OptionalDependencyError: There is a Parquet file, and pyarrow is not installed.
    """
    parquet = [path for path in paths if suffix_of(path) == ".parquet"]
    for path in parquet:
        with reading(path):
            check_regular(path)
        _import_parquet(path)
    encodings = text_encodings([path for path in paths if path not in parquet], encoding)
    return [InputFile(path, encodings.get(path, "")) for path in paths]


def _delimiter(header: str) -> str:
    bare = re.sub('"[^"]*"', "", header)
    return max(",;\t|", key=bare.count)  # the comma where there is none


def _columns(header: Sequence[str], place: str) -> list[str]:
    columns = [name.strip().strip("\ufeff") for name in header]
    for name in columns:
        if name and columns.count(name) > 1:
            raise InvalidDocumentError(f"{place}: two columns are named {name!r}: give each a name of its own")
    return columns


def _number_columns(rows: Iterator[tuple[str, dict[str, Any]]]) -> frozenset[str]:
    """Columns with numbers and empty cells alone, each number written as JSON would: 007 and 1.10 are not numbers."""
    numbers: dict[str, bool] = {}
    for _, row in rows:
        for column, cell in row.items():
            if cell and numbers.get(column, True):
                numbers[column] = _is_number(cell)
    return frozenset(column for column, holds in numbers.items() if holds)


def _is_number(cell: str) -> bool:
    return len(cell) <= 25 and cell.strip() == cell and cell in {_written(int, cell), _written(float, cell)}


def _written(kind: type[int | float], cell: str) -> str | None:
    try:
        value = kind(cell)
    except ValueError:
        return None
    return repr(value) if abs(value) < float("inf") else None


def _number(cell: str) -> int | float:
    return int(cell) if _written(int, cell) == cell else float(cell)


def _import_parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise OptionalDependencyError(
            f'{path}: Parquet files need an extra: pip install "pixie-retrievers[parquet]"'
        ) from error
    return parquet


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    parquet = _import_parquet(path)
    from pyarrow import ArrowException

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except ArrowException as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidParameterError(f"{path}: cannot be read as Parquet: {reason}") from error
