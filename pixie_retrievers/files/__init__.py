"""What people keep texts in, read as rows and texts: encodings, JSON, tables, compressed or not."""
