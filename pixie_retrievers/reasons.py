"""What a retriever can say when somebody asks why: of one text, of a document and a query, of two documents.

None of it happens at a search. It takes nothing but what every index and encoder has; spans and what raised a term come
from encoders that know them, as :class:`~pixie_retrievers.PixieEncoder` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pixie_retrievers.errors import DocumentNotFoundError, InvalidParameterError
from pixie_retrievers.explaining import names_in
from pixie_retrievers.filters import Filter
from pixie_retrievers.index.matching import matched
from pixie_retrievers.parameters import check_top_k_tokens, check_whole_number
from pixie_retrievers.rules.asking import Applied, Asking, RulesChoice
from pixie_retrievers.text_fields import split_fingerprint
from pixie_retrievers.types import (
    Comparison,
    Document,
    Explanation,
    Hit,
    RaisedBy,
    SearchResult,
    Span,
    SparseVectors,
    TermMatches,
    TextExplanation,
    TextSpans,
    TextToken,
    TokenDifference,
    WhyNot,
)

__all__ = ["Reasons"]

_DEEPEST = 10_000  # a rank beyond it tells nobody anything, and no server returns more at once
_READ_AT_ONCE = 20_000  # characters of a stretch that the model does not read


class Reasons(Asking):
    """The part of :class:`~pixie_retrievers.SparseRetriever` that explains."""

    def explain(
        self,
        query: str,
        id: str,
        *,
        top_k_tokens: int | None = None,
        raised_by: bool = False,
        rules: RulesChoice = True,
    ) -> Explanation:
        """Why a document scores what it scores for a query, whether or not a search would return it.

        Args:
            query: A text.
            id: The document's id.
            top_k_tokens: At most so many tokens; None for all.
            raised_by: Find out, too, which token of the document raised each token that its text is not made of: the
                model reads the text once more.
            rules: As for the search.

        Raises:
            DocumentNotFoundError: There is no document under the id.
            InvalidParameterError: The encoder cannot say what raised a token.
        """
        check_top_k_tokens(top_k_tokens)
        vector, (applied,) = self.query_vectors([query], rules)
        document, matches = self._matched(vector, id)
        raised = None
        if raised_by:
            terms = matches.term_ids[~matches.in_document].tolist()
            raised = self._raised(document.text, self.index.vectors([id]), terms, "document")
        names = names_in(self.encoder, query, document.text)
        return Explanation(matches.score, matches, top_k_tokens, names, raised, applied)

    def explain_many(
        self,
        query: str,
        documents: Iterable[Document],
        *,
        top_k_tokens: int | None = 10,
        rules: RulesChoice = True,
    ) -> list[Explanation]:
        """Why this model would have found each of some documents, whoever found them, and how strongly.

        Args:
            query: A text.
            documents: They are looked up by their ids, all at once. Those that the index lacks are encoded as it
                would encode them, in one batch; an empty id is in no index.
            top_k_tokens: At most so many tokens in an explanation; None for all.
            rules: As for a search.

        Returns:
            One explanation a document, in order; its score is 0 where query and document share no token.

        Raises:
            InvalidParameterError: ``top_k_tokens`` is out of range or not a number.
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
        """
        check_top_k_tokens(top_k_tokens)
        _, fields = split_fingerprint(self.index.fingerprint)
        documents = [one if fields is None else fields.whole(one) for one in documents]
        vector, (applied,) = self.query_vectors([query], rules)
        ids = list({document.id: None for document in documents if document.id})
        known = dict(zip(ids, self.index.match(vector, ids), strict=True)) if ids else {}
        lacking = [document.text for document in documents if known.get(document.id) is None]
        encoded = iter(matched(vector, self.encoder.encode_documents(lacking)) if lacking else ())
        explanations = []
        for document in documents:
            matches = known.get(document.id)
            matches = next(encoded) if matches is None else matches
            names = names_in(self.encoder, query, document.text)
            explanations.append(Explanation(matches.score, matches, top_k_tokens, names, rules=applied))
        return explanations

    def explain_query(self, text: str, *, raised_by: bool = False, rules: RulesChoice = True) -> TextExplanation:
        """What the model and the rules make of a query: its tokens, those that they add, and their weights.

        Args:
            text: The query.
            raised_by: Find out, too, which token of the text raised each token that the model added: it reads the text
                once more.
            rules: As for a search. A token that they take out is listed, with a weight of 0.

        Raises:
            InvalidTextError: The query is not a string or cannot be written as UTF-8.
            InvalidParameterError: The encoder cannot say what raised a token.
        """
        vector, (applied,) = self.query_vectors([text], rules)
        return self._explained(text, vector, "query", None, raised_by=raised_by, rules=applied)

    def explain_document(self, id: str, *, raised_by: bool = False) -> TextExplanation:
        """What the model made of a document, as the index stores it.

        Args:
            id: The document's id.
            raised_by: As for :meth:`explain_query`. Where the index stores a vector of more than the document's text
                (a title in front, say), what raised a token is said only where the text alone gives the same weight.

        Raises:
            DocumentNotFoundError: There is no document under the id.
            InvalidParameterError: The encoder cannot say what raised a token.
        """
        vector = self.index.vectors([id])
        return self._explained(self._document(id).text, vector, "document", id, raised_by=raised_by)

    def compare(self, query: str, id_a: str, id_b: str, *, rules: RulesChoice = True) -> Comparison:
        """Why one of two documents scores more than the other, token by token.

        Args:
            query: A text.
            id_a: The first document's id.
            id_b: The second one's.
            rules: As for a search.

        Raises:
            DocumentNotFoundError: There is no document under one of the ids.
        """
        vector, (applied,) = self.query_vectors([query], rules)
        return self._compared(query, applied, *(Hit(*self._scored(vector, id)) for id in (id_a, id_b)))

    def why_not(
        self, query: str, id: str, *, k: int = 10, filter: Filter | None = None, rules: RulesChoice = True
    ) -> WhyNot:
        """Why a document is not among the k best: its rank and what it lacks, or what kept it out.

        Args:
            query: A text.
            id: The document's id.
            k, filter, rules: As for the search that did not find it.

        Complexity:
            Searches ten times as deep until it meets the document, 10,000 deep at most.

        Raises:
            InvalidParameterError: ``k`` is out of range or not a number.
            FilterError: The filter means nothing.
        """
        check_whole_number("k", k)
        vector, (applied,) = self.query_vectors([query], rules)
        (best,) = self.index.search(vector, k, filter=filter)
        if self.index.match(vector, [id])[0] is None:
            return WhyNot(query, id, k, "not there")
        document, score, matches = self._scored(vector, id)
        stored = self.index.vectors([id])
        cut = bool(stored.cut[0])
        unread = self._unread(vector, matches, document.text) if cut else ()
        if not self._passes(stored, id, filter):
            return WhyNot(query, id, k, "filtered out", score=score, cut=cut, unread=unread)
        rank = self._rank(vector, id, best, k, filter) if len(matches) else None
        to_beat = best[k - 1].score if len(best) == k else None
        if rank is not None and rank <= k:
            return WhyNot(query, id, k, "found", rank, score, to_beat, None, cut, unread)
        comparison = self._compared(query, applied, best[-1], Hit(document, score, matches)) if best else None
        verdict: Literal["ranked lower", "shares no token"] = "ranked lower" if len(matches) else "shares no token"
        return WhyNot(query, id, k, verdict, rank, score, to_beat, comparison, cut, unread)

    def _document(self, id: str) -> Document:
        (document,) = self.index.get([id])
        if document is None:
            raise DocumentNotFoundError(f"there is no document with id {id!r} in the index: index.ids() lists them")
        return document

    def _matched(self, vector: SparseVectors, id: str) -> tuple[Document, TermMatches]:
        (matches,) = self.index.match(vector, [id])
        return self._document(id), TermMatches.none() if matches is None else matches

    def _scored(self, vector: SparseVectors, id: str) -> tuple[Document, float, TermMatches]:
        document, matches = self._matched(vector, id)
        return document, matches.score, matches

    def _explained(
        self,
        text: str,
        vector: SparseVectors,
        kind: Literal["query", "document"],
        id: str | None,
        *,
        raised_by: bool,
        rules: Applied = None,
    ) -> TextExplanation:
        spans = self._spans(text, kind)
        rules = rules or {}
        terms, weights, literal = vector.term_ids.tolist(), vector.weights.tolist(), vector.literal.tolist()
        muted = sorted(rules.keys() - set(terms))
        own_terms = set() if spans is None else spans.terms.keys()
        terms, weights = terms + muted, weights + [0.0] * len(muted)
        literal += [term in own_terms for term in muted]
        added = [term for term, own in zip(terms, literal, strict=True) if not own]
        raised = self._raised(text, vector, added, kind) if raised_by else {}
        names = names_in(self.encoder, text, text)
        tokens = [
            TextToken(
                token,
                surface,
                term,
                weight,
                own,
                spans.of(term) if spans and own else (),
                raised.get(term),
                rules.get(term),
            )
            for token, surface, term, weight, own in zip(
                names.tokens(terms), names.surfaces(terms), terms, weights, literal, strict=True
            )
        ]
        tokens.sort(key=lambda item: (-item.weight, item.token_id))
        return TextExplanation(text, kind, id, tuple(tokens), spans.read if spans else None)

    def _spans(self, text: str, kind: Literal["query", "document"]) -> TextSpans | None:
        find = getattr(self.encoder, "spans", None)
        spans: TextSpans | None = None if find is None else find(text, kind=kind)
        return spans

    def _raised(
        self, text: str, vector: SparseVectors, terms: Sequence[int], kind: Literal["query", "document"]
    ) -> Mapping[int, RaisedBy]:
        find = getattr(self.encoder, "raised_by", None)
        if find is None:
            raise InvalidParameterError(
                f"a {type(self.encoder).__name__} cannot say what raised a token, which PixieEncoder can: leave"
                " raised_by out"
            )
        (weights,) = vector.to_dicts()
        found: dict[int, RaisedBy] = find(text, terms, kind=kind)
        # A weight that is further off than rounding in storage takes it is of another text than the stored one.
        near = 0.01 * max(weights.values(), default=0.0)
        return {term: by for term, by in found.items() if abs(by.weight - weights[term]) <= near}

    def _compared(self, query: str, rules: Applied, a: Hit, b: Hit) -> Comparison:
        known: dict[int, tuple[str, str]] = {}
        parts: list[dict[int, float]] = []
        results: list[SearchResult] = []
        for hit in (a, b):
            terms = hit.matches.term_ids.tolist()
            names = names_in(self.encoder, query, hit.document.text)
            named = zip(names.tokens(terms), names.surfaces(terms), strict=True)
            known = dict(zip(terms, named, strict=True)) | known
            parts.append(dict(zip(terms, hit.matches.contributions.tolist(), strict=True)))
            explanation = Explanation(hit.score, hit.matches, None, names, rules=rules)
            results.append(SearchResult(hit.document, hit.score, explanation))
        tokens = [
            TokenDifference(
                *known[term], term, parts[0].get(term, 0.0), parts[1].get(term, 0.0), (rules or {}).get(term)
            )
            for term in known
        ]
        tokens.sort(key=lambda item: (-abs(item.difference), item.token_id))
        return Comparison(query, results[0], results[1], tuple(tokens))

    def _passes(self, stored: SparseVectors, id: str, filter: Filter | None) -> bool:
        """Whether a filter lets a document pass; one without any token passes, for nothing can be asked of it."""
        if filter is None or not len(stored.term_ids):
            return True
        own = SparseVectors.from_dicts([{int(stored.term_ids[0]): 1.0}], stored.vocabulary_size)
        return bool(self.index.search(own, 1, filter=filter, ids=[id])[0])

    def _rank(self, vector: SparseVectors, id: str, best: Sequence[Hit], k: int, filter: Filter | None) -> int | None:
        depth, hits = k, best
        while True:
            for rank, hit in enumerate(hits, start=1):
                if hit.document.id == id:
                    return rank
            if len(hits) < depth or depth >= _DEEPEST:
                return None
            depth = min(10 * depth, _DEEPEST)
            (hits,) = self.index.search(vector, depth, filter=filter)

    def _unread(self, vector: SparseVectors, matches: TermMatches, text: str) -> tuple[TextToken, ...]:
        """The query's tokens that the document lacks, though its text has them where the model does not read."""
        spans = self._spans(text, "document")
        there = {*matches.term_ids.tolist(), *(spans.terms if spans else ())}
        missing = {term: weight for term, weight in vector.to_dicts()[0].items() if term not in there}
        found: dict[int, list[Span]] = {}
        stretches = list(spans.unread) if spans else []
        while stretches:
            start, stop = stretches.pop()
            if stop - start > _READ_AT_ONCE:
                middle = max(text.rfind(" ", start + 1, start + _READ_AT_ONCE), start + _READ_AT_ONCE // 2)
                stretches.append((middle, stop))
                stop = middle
            part = self._spans(text[start:stop], "document")
            if part is None or part.read[0] == part.read[1]:
                continue
            for term in missing.keys() & part.terms.keys():
                found.setdefault(term, []).extend((start + a, start + b) for a, b in part.of(term))
            stretches += [(start + a, start + b) for a, b in part.unread]
        terms = sorted(found, key=lambda term: (-missing[term], term))
        names = names_in(self.encoder, text, text)
        return tuple(
            TextToken(token, surface, term, missing[term], True, tuple(sorted(found[term])))
            for token, surface, term in zip(names.tokens(terms), names.surfaces(terms), terms, strict=True)
        )
