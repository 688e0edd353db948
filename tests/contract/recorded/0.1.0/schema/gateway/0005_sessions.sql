-- People who signed in with a browser. Kept is the SHA-256 of what the browser shows; never that value.
CREATE TABLE sessions (
    digest     bytea       PRIMARY KEY CHECK (octet_length(digest) = 32),
    id         text        NOT NULL UNIQUE,
    issuer     text        NOT NULL,
    subject    text        NOT NULL,
    person     text        NOT NULL,
    role       text        NOT NULL CHECK (role IN ('viewer', 'developer', 'admin')),
    teams      text[]      NOT NULL,
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX sessions_of_person ON sessions (person);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Whose name here belongs to which identity at which issuer. Rows are kept: a name that was somebody's once is never
-- handed on to somebody else.
CREATE TABLE people (
    issuer        text        NOT NULL,
    subject       text        NOT NULL,
    person        text        NOT NULL UNIQUE,
    first_seen_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);

-- Sign-ins under way, each of which ends once: by the digest of its state, and of what its browser holds.
CREATE TABLE sign_ins (
    state      bytea       PRIMARY KEY CHECK (octet_length(state) = 32),
    browser    bytea       NOT NULL CHECK (octet_length(browser) = 32),
    next       text        NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX sign_ins_by_end ON sign_ins (expires_at);

-- Machines that wait for their token (`slipway login`): by the digest of the code that the person was given.
CREATE TABLE machine_codes (
    digest     bytea       PRIMARY KEY CHECK (octet_length(digest) = 32),
    challenge  text        NOT NULL, -- base64url(SHA-256(verifier)), RFC 7636 §4.2
    name       text        NOT NULL,
    person     text        NOT NULL,
    role       text        NOT NULL CHECK (role IN ('viewer', 'developer', 'admin')),
    teams      text[]      NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX machine_codes_by_end ON machine_codes (expires_at);
