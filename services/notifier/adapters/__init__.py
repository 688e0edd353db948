"""One file per outside thing, and `memory.py`, the twins."""
