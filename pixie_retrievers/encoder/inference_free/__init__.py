"""Questions without a model: what it would give their tokens, read off it beforehand."""
