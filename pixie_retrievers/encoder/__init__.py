"""Text to sparse vectors: the only package that loads torch, transformers or sentence-transformers."""
