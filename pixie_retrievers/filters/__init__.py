"""The one metadata-filter language, as LangChain's stores write it, or any callable on the metadata.

    {"field": "우주"}                                   equality
    {"year": {"$gte": 2020, "$lt": 2024}}               several operators on one field: all must hold
    {"field": {"$in": ["우주", "농업"]}, "year": 2021}   several fields: all must hold
    {"author.name": "김"}                               nested metadata, by a dotted path
    {"$or": [{"year": 2020}, {"$not": {"tags": {"$contains": "위성"}}}]}

=============  ======================================================================================
``$eq $ne``    equal, not equal; a document without the field passes ``$ne``
``$gt $gte``   ordered comparison between two numbers or two strings; anything else does not pass
``$lt $lte``   the same
``$in $nin``   equal to one of a list, to none of it; a document without the field passes ``$nin``
``$exists``    the field is there (true) or is not (false)
``$contains``  a list has the value as an element, or a string has it as a substring
``$text``      a string has the value as a substring, whatever the letter case
``$and $or``   a list of filters: all hold, at least one holds
``$not``       the filter does not hold
=============  ======================================================================================

Equality is Python's: 1, 1.0 and true are equal. A path takes the longest literal key first: ``a.b`` is the key
``"a.b"`` where there is one, and otherwise ``"b"`` inside ``"a"``.
"""

from __future__ import annotations

from pixie_retrievers.filters.conditions import All, Comparison, Condition, Either, Negation, PredicateCall
from pixie_retrievers.filters.parsing import Filter, parse_filter
from pixie_retrievers.filters.paths import MISSING, flatten, resolve, values_at

__all__ = [
    "MISSING",
    "All",
    "Comparison",
    "Condition",
    "Either",
    "Filter",
    "Negation",
    "PredicateCall",
    "flatten",
    "parse_filter",
    "resolve",
    "values_at",
]
