"""The nouns and the arithmetic: pure, on plain data; no I/O, no clock, no Temporal."""
