-- What people say, found by who said it, and what became of it, found by what it is about.

-- Read by pattern and not as JSON: Postgres refuses a whole document with \u0000 somewhere in a text, and what somebody
-- writes must not keep the facts from being stored. Within a text every quote is escaped, so none is taken for a field.
CREATE FUNCTION signal_person(body bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT substring(convert_from(body, 'UTF8') FROM '"person"\s*:\s*"([^"\\]*)"') $$;
CREATE FUNCTION signal_feedback(body bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT substring(convert_from(body, 'UTF8') FROM '"feedback_id"\s*:\s*"([0-9a-f-]{36})"') $$;

CREATE INDEX signals_person ON signals (signal_person(body), kind, sequence)
    WHERE rejection IS NULL AND kind IN ('feedback_given', 'survey_answered', 'survey_declined');
CREATE INDEX signals_feedback ON signals (signal_feedback(body), kind, time)
    WHERE rejection IS NULL AND kind IN ('ticket_opened', 'ticket_changed');
