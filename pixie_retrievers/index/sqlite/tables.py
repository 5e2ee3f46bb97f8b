"""The tables of an index file, and the settings that every connection to it shares."""

from __future__ import annotations

__all__ = [
    "APPLICATION_ID",
    "BUSY_TIMEOUT_S",
    "PAGE_SIZE",
    "TABLES",
    "TABLE_COLUMNS",
    "check_table",
]

TABLES = (META, IDS, DOCUMENTS, VECTORS, SEGMENTS, POSTINGS, TOMBSTONES, COLUMNS) = (
    "meta",
    "ids",
    "documents",
    "vectors",
    "segments",
    "postings",
    "tombstones",
    "columns",
)
APPLICATION_ID = 0x50495849  # "PIXI": what `file` and SQLite itself can tell the format by
_AS_SQLITEDICT = "(key TEXT PRIMARY KEY, value BLOB)"
TABLE_COLUMNS = dict.fromkeys(TABLES, _AS_SQLITEDICT) | {
    IDS: f"{_AS_SQLITEDICT} WITHOUT ROWID",  # small values lie where their key is
    DOCUMENTS: "(key INTEGER PRIMARY KEY, value BLOB)",  # one search in a shallow tree finds any of a million
    VECTORS: "(key INTEGER PRIMARY KEY, value BLOB)",
}
KEYED_BY_NUMBER = (DOCUMENTS, VECTORS)
PAGE_SIZE = 8192
BUSY_TIMEOUT_S = 5.0


def check_table(name: str) -> str:
    """The name of a table, which is never anything else: it becomes part of SQL statements."""
    if name not in TABLES:
        raise ValueError(name)
    return name
