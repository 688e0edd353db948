"""Makes and removes an environment's infrastructure; see README.md."""
