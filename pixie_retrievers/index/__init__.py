"""Sparse vectors to hits: knows no model, and never loads torch."""
