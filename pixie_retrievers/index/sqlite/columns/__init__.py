"""Columns: the values of every metadata field, segment by segment, so that a filter need not read the documents."""

from __future__ import annotations
