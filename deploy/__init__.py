"""Ways to run Slipway: embedded on one machine, and the jobs that any deployment needs."""
