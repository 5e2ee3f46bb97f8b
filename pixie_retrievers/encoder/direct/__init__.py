"""ModernBERT models without transformers and sentence-transformers, whose import takes longer than the model does."""
