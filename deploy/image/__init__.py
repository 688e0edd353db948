"""The image in which Slipway's own processes run: one Dockerfile, and `ARG SERVICE` for which of them it is."""
