"""The embedded engine: an inverted index in one SQLite file. ``engine.py`` is the door."""
