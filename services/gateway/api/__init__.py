"""The gateway as others see it: HTTP under `/api/v1`, and the same requests on the bus.

`routing` is the one door: trace, token, rate, role, body, in that order, for every route of the table in
`application`. A route without a row in that table does not exist.
"""
