"""The Helm chart in `slipway/`, what of it follows from the code, and what runs in its job.

Invariant: permissions of the bus, alerts, the schema of settings and the table of values are written by
`python -m deploy.helm write` and by nobody else; a test says that they are current.
"""
