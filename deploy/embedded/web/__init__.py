"""What the stand-ins with pages share: the guard in front of them, the templates' environment, the look.

Invariant: every answer carries a content security policy without scripts, a request for a foreign host name or
with too large a body ends before any handler sees it, and templates escape everything by default.
"""
