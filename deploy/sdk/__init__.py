"""Writes `slipway/client.py`, the client of the gateway's API in one file, from the gateway's own description of it.

Invariant: what is written follows from the OpenAPI document and `client.py.j2` alone. The template holds what no
description says (how to ask again, to page, to follow a stream); `shapes` and `operations` write the rest.
"""
