"""A Slack-compatible inbox, standing in for a Slack workspace.

slack_sdk's WebClient talks to it as it does to Slack (base URL `http://127.0.0.1:<port>/api/`), incoming webhooks
post to it, and people read it at `/`. Invariants: a message that was answered `ok` is on disk; `ts` identifies a
message in its channel and grows; whatever a message holds, the page shows it as text or as one of a few safe tags.
"""
