"""`pixie explore`: a local page over an index, on which a person sees why."""
