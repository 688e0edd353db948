"""A trace store, standing in for Jaeger or Tempo.

It takes spans as OTLP/HTTP (protobuf or JSON, `POST /v1/traces`), answers Jaeger's query API (`/api/...`), and shows
a trace as a waterfall at `/trace/<id>`, so that a link made for Jaeger's page works here too. Invariants: spans that
were answered 200 are in the database; the same span sent twice is stored once; writing never blocks the event loop.
"""
