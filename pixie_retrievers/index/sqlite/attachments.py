"""What an index keeps beside its documents, by name: bytes that mean nothing to it."""

from __future__ import annotations

from pixie_retrievers.index.documents import check_attachment
from pixie_retrievers.index.sqlite.attachment_rows import read_attachment
from pixie_retrievers.index.sqlite.forks import unforked
from pixie_retrievers.index.sqlite.handle import Handle

__all__ = ["Attachments"]


class Attachments(Handle):
    """An open file with what is attached to it."""

    def attachments(self) -> dict[str, int]:
        """What is kept beside the documents: each name with a number that is another one after every change."""
        with unforked(), self._snapshot() as snapshot:
            return {} if snapshot is None else dict(snapshot.manifest.attachments)

    def attachment(self, name: str) -> bytes | None:
        """What is kept under a name; None where nothing is.

        Raises:
            CorruptIndexError: It does not verify.
        """
        with unforked(), self._snapshot() as snapshot:
            if snapshot is None or name not in dict(snapshot.manifest.attachments):
                return None
            return read_attachment(snapshot.store, name)

    def attach(self, name: str, content: bytes | None) -> None:
        """Keep something under a name beside the documents, in one atomic and durable commit; None removes it.

        Args:
            name: A short name.
            content: At most 256 MiB. It is copied and repaired with the documents.

        Raises:
            InvalidParameterError: The name or the content is not what it should be.
            IndexLockedError: Another writer holds the index.
            StorageFullError: No space is left.
            StorageError: The index was opened read-only, or the file system refused.
        """
        check_attachment(name, content)
        self._write(lambda writer: writer.attach(name, content))
