"""What a retriever learns: factors of query tokens from judged questions, and a table in place of the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from pixie_retrievers.parameters import check_whole_number
from pixie_retrievers.queries import check_keeps_tables, keep_table
from pixie_retrievers.rules.asking import Asking

if TYPE_CHECKING:
    from pixie_retrievers.deriving.report import TableReport
    from pixie_retrievers.tuning.judgements import Judged
    from pixie_retrievers.tuning.report import TuningReport

__all__ = ["Learning"]


class Learning(Asking):
    """The part of :class:`~pixie_retrievers.SparseRetriever` that learns: it has an encoder, an index and rules."""

    def tune(self, judged: Judged, *, encoding: str | None = None, show_progress: bool = False) -> TuningReport:
        """Learn factors of query tokens from judged questions, or from clicks, and find out whether they help.

        Nothing is written. Where the report says that the gain is beyond chance, ``set_rules(report.rules)`` keeps the
        factors (with ``base=report.rules.version`` unless rules were changed meanwhile), and ``undo_rules()`` takes
        them back. Rules that a person set stay as they are; factors that were learned earlier make way.

        A third of the questions is held out, by document where that can be done: no question held out is about a
        document that one of the others is about. How strongly factors are held to 1 is found by cross-validation among
        the others. A minute for a few thousand questions, on two cores.

        Args:
            judged: The path of a file, JSON Lines or another that ``pixie index`` reads, or rows as it has them:
                ``{"question": ..., "relevant": [ids]}``, or ``{id: grade}`` for ``relevant``; or a log:
                ``{"question": ..., "shown": [ids, best first], "clicked": [ids]}``.
            encoding: What a file is written in that has no byte order mark and is not UTF-8.
            show_progress: Show how far it is.

        Complexity:
            Searches 48 deep for each question, and holds about 50 kB of memory for it.

        Raises:
            InvalidParameterError: Fewer than 30 questions can be learned from, or a row is at fault.
        """
        from pixie_retrievers.tuning.tuning import tune

        return tune(self.index, self.encoder, self.rules, judged, encoding=encoding, show_progress=show_progress)

    def derive_query_table(
        self,
        questions: Iterable[str] | None = None,
        *,
        judged: Judged | None = None,
        max_texts: int = 5000,
        expansions: bool = True,
        keep: bool = True,
        show_progress: bool = False,
    ) -> TableReport:
        """Learn what the model gives the tokens of questions, as a table that answers in its place, and what it costs.

        The report compares the two on texts that were kept out. ``queries="inference-free"`` then opens the index with
        the table; this retriever goes on with the model.

        Args:
            questions: Questions as people ask them; None takes sentences and titles of the documents.
            judged: Questions with their relevant documents, as :meth:`tune` takes them: a file, or rows.
            max_texts: At most so many texts are put through the model.
            expansions: Let tokens add terms to a question, if that is better.
            keep: Put the table into the index, in place of one that is there.
            show_progress: Show how far it is.

        Raises:
            InvalidParameterError: There are fewer than 50 texts, the encoder does not say how it reads a text, or the
                index has no place for a table.
            InvalidTextError: A question is not a string, or cannot be written as UTF-8.
            IndexLockedError: Another writer holds the index.
        """
        from pixie_retrievers.deriving.deriving import derive_table

        check_whole_number("max_texts", max_texts)
        if keep:
            check_keeps_tables(self.index)
        model = getattr(self.encoder, "model", self.encoder)
        report = derive_table(
            self.index,
            model,
            questions,
            judged=judged,
            max_texts=max_texts,
            expansions=expansions,
            show_progress=show_progress,
        )
        if keep:
            keep_table(self.index, report.table)
        return replace(report, kept=keep)
