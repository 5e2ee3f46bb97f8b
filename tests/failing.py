"""A database whose calls fail one after the other, and that knows which connections are open."""

from __future__ import annotations

import sqlite3
import types


class Failing:
    """Stands in for the module ``sqlite3``: the n-th statement of the connections it makes fails; 0: none does."""

    def __init__(self, failing: int = 0, message: str = "disk I/O error", *, after: bool = False) -> None:
        self.n_calls, self.failing = 0, failing
        self.connections: list[sqlite3.Connection] = []
        outer = self

        class Cursor(sqlite3.Cursor):
            def execute(self, statement, *args):
                outer.n_calls += 1
                if outer.n_calls == outer.failing and after:
                    super().execute(statement, *args)
                if outer.n_calls == outer.failing:
                    raise sqlite3.OperationalError(message)
                return super().execute(statement, *args)

        class Connection(sqlite3.Connection):
            def cursor(self, factory=Cursor):
                return super().cursor(factory)

            def execute(self, statement, *args):
                return self.cursor().execute(statement, *args)

        def connect(*args, **options):
            self.connections.append(sqlite3.connect(*args, **options, factory=Connection))
            return self.connections[-1]

        self.module = types.SimpleNamespace(
            connect=connect,
            Error=sqlite3.Error,
            DatabaseError=sqlite3.DatabaseError,
            OperationalError=sqlite3.OperationalError,
            Connection=Connection,
        )

    def left_open(self) -> list[sqlite3.Connection]:
        """The connections that nobody closed."""
        return [connection for connection in self.connections if _is_open(connection)]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        _ = connection.total_changes
    except sqlite3.ProgrammingError:
        return False
    return True
