"""An index in the formats that other programs read."""
