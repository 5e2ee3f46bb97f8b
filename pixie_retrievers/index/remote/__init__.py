"""Indexes that a server keeps: what engines share stands here once, and each engine is a module of its own."""
