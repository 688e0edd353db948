"""Where the secrets service meets OpenBao and the log, and the in-memory twins of both."""
