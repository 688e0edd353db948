"""The portal: the platform's pages, drawn by the server. A module is a group of pages, `PAGES` at its foot their table.

A page calls the same deeds as the API and shows the same answers; it knows no rule of its own. It can be read without
scripts; HTMX and server-sent events keep it up to date where there are some.
"""

from typing import Final

from services.gateway.api.browser import Page
from services.gateway.portal import (
    assets,
    audit,
    catalogue,
    changing,
    creating,
    environment,
    feedback,
    finding_runs,
    golden_paths,
    graph,
    home,
    insights,
    living,
    notifications,
    rollouts,
    runs,
    tokens,
    waterfall,
    webhooks,
)

PAGES: Final[tuple[Page, ...]] = (
    *home.PAGES,
    *catalogue.PAGES,
    *creating.PAGES,
    *environment.PAGES,
    *living.PAGES,
    *changing.PAGES,
    *finding_runs.PAGES,
    *runs.PAGES,
    *waterfall.PAGES,
    *golden_paths.PAGES,
    *rollouts.PAGES,
    *graph.PAGES,
    *insights.PAGES,
    *audit.PAGES,
    *feedback.PAGES,
    *notifications.PAGES,
    *webhooks.PAGES,
    *tokens.PAGES,
    *assets.PAGES,
)
