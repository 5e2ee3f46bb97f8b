"""A query table for an index: learned from a model, and measured beside it."""
