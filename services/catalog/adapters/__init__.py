"""One file per outside thing, and the twins in memory."""
