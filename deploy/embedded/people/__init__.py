"""Where people of this platform sign in with name and password: the page that OpenBao's own user interface would be,
and the few endpoints of its OpenID provider that a client needs.

Invariant: nothing is decided here. OpenBao checks the password, counts wrong ones, knows the client and its redirect
URI, and makes the code; what this process adds is a page.
"""
