"""What a clause says of one document, in plain Python: engines are to say the same."""

from __future__ import annotations

from pixie_retrievers.index.remote.clauses import AllOf, AnyOf, Between, Keys, Not, Tokens
from pixie_retrievers.index.remote.digests import digest_metadata

__all__ = ["Digested", "levels", "n_parts", "negates"]


class Digested:
    """A document as an engine sees it.

    Attributes:
        tokens: Its digests.
        orders: What ranges compare, by field.
        key: Its key.
    """

    def __init__(self, tokens=(), orders=(), key=""):
        self.tokens = set(tokens)
        self.orders = dict(orders)
        self.key = key

    @classmethod
    def of(cls, metadata):
        return cls(*digest_metadata(metadata))

    def satisfies(self, clause):
        if isinstance(clause, AllOf):
            return all(map(self.satisfies, clause.parts))
        if isinstance(clause, AnyOf):
            return any(map(self.satisfies, clause.parts))
        if isinstance(clause, Not):
            return not self.satisfies(clause.part)
        if isinstance(clause, Tokens):
            return not self.tokens.isdisjoint(clause.tokens)
        if isinstance(clause, Keys):
            return self.key in clause.keys
        assert isinstance(clause, Between)
        value = self.orders.get(clause.field)
        if value is None or isinstance(value, str) != clause.is_string:
            return False
        bound = clause.low if clause.high is None else clause.high
        beyond = value < bound if clause.low is None else value > bound
        return beyond or (clause.inclusive and value == bound)


def n_parts(clause):
    """The tokens, ranges and lists of keys that stand in a clause."""
    if isinstance(clause, AllOf | AnyOf):
        return sum(map(n_parts, clause.parts))
    return n_parts(clause.part) if isinstance(clause, Not) else 1


def levels(clause):
    if isinstance(clause, AllOf | AnyOf):
        return 1 + max(map(levels, clause.parts)) if clause.parts else 0
    return 1 + levels(clause.part) if isinstance(clause, Not) else 0


def negates(clause):
    if isinstance(clause, AllOf | AnyOf):
        return any(map(negates, clause.parts))
    return isinstance(clause, Not)
