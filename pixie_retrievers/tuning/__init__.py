"""Factors of query tokens, learned from judged questions or from clicks; numpy only."""
