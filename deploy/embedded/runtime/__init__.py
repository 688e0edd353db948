"""The local runtime: starts what is deployed, watches it, switches to it, and gives it its secrets while it lives."""
