"""The whole platform on one machine from Python wheels alone: no Docker, no account, no cloud."""
