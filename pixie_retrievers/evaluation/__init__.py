"""How well a model finds what it should: data sets, rankings, metrics, and the table of a model card."""
