"""The documentation site: pages that are written from the code at build, and what makes the others fit.

Invariant: nothing here is committed twice. A page of the reference says what the code says at this commit; the other
pages are read by GitHub as they are, and by the site with the same links.
"""
