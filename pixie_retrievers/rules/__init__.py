"""Rules of an index: factors and expansions of query tokens, which a person or judged questions set."""
