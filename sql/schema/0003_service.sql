-- Service: what the server itself keeps in order to do its work and to account
-- for it: repeated requests, mail, background jobs, exports, logs.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.

-- ── idempotency_keys ─────────────────────────────────────────────────────────
-- status is null while the first request with the key is still running.

CREATE TABLE idempotency_keys (
    -- the user's id, or the address of an anonymous client
    scope      varchar(64)  NOT NULL,
    key        varchar(255) NOT NULL,
    -- method and canonical path
    route      text         NOT NULL,
    body_hash  char(64)     NOT NULL,
    status     smallint,
    headers    jsonb,
    body       bytea,
    created_at timestamptz  NOT NULL DEFAULT now(),
    expires_at timestamptz  NOT NULL,

    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, route, key)
);

CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

-- ── email_outbox ─────────────────────────────────────────────────────────────
-- A mail is queued by the statement that makes it necessary and sent later by
-- a job, so that no request waits for a mail server and none is lost.

CREATE TABLE email_outbox (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    to_address varchar(255) NOT NULL,
    template   varchar(50)  NOT NULL,
    subject    text         NOT NULL,
    body_text  text         NOT NULL,
    body_html  text,
    status     varchar(10)  NOT NULL DEFAULT 'queued',
    attempts   integer      NOT NULL DEFAULT 0,
    last_error text,
    created_at timestamptz  NOT NULL DEFAULT now(),
    sent_at    timestamptz,

    CONSTRAINT email_outbox_template_check
        CHECK (template IN ('verify_email', 'password_reset', 'contact_admin',
                            'contact_confirm', 'demo_admin', 'demo_confirm',
                            'notification')),
    CONSTRAINT email_outbox_status_check
        CHECK (status IN ('queued', 'sent', 'failed'))
);

CREATE INDEX email_outbox_queued_idx ON email_outbox (created_at)
    WHERE status = 'queued';

-- Sent mails hold a link with a token: they are blanked after a day.
CREATE INDEX email_outbox_sent_at_idx ON email_outbox (sent_at)
    WHERE status = 'sent';

-- ── jobs ─────────────────────────────────────────────────────────────────────
-- Taken with SKIP LOCKED; locked_until is when a job whose worker died may be
-- taken again. type has no CHECK: it names code, and code changes with every
-- release while rows of the release before are still queued.

CREATE TABLE jobs (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    type         varchar(30) NOT NULL,
    payload      jsonb       NOT NULL,
    status       varchar(10) NOT NULL DEFAULT 'queued',
    attempts     integer     NOT NULL DEFAULT 0,
    max_attempts integer     NOT NULL DEFAULT 5,
    run_at       timestamptz NOT NULL DEFAULT now(),
    locked_by    varchar(64),
    locked_until timestamptz,
    last_error   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,

    CONSTRAINT jobs_status_check
        CHECK (status IN ('queued', 'running', 'completed', 'failed'))
);

CREATE INDEX jobs_status_run_at_idx ON jobs (status, run_at);

-- ── exports ──────────────────────────────────────────────────────────────────

CREATE TABLE exports (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id             uuid        NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    format              varchar(5)  NOT NULL,
    include_attachments boolean     NOT NULL,
    status              varchar(10) NOT NULL DEFAULT 'queued',
    storage_key         text,
    size_bytes          bigint,
    error               text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    finished_at         timestamptz,
    expires_at          timestamptz,

    CONSTRAINT exports_format_check CHECK (format IN ('zip', 'json')),
    CONSTRAINT exports_status_check
        CHECK (status IN ('queued', 'running', 'completed', 'failed'))
);

-- One unfinished export per user: a second one is EXPORT_IN_PROGRESS.
CREATE UNIQUE INDEX unique_unfinished_export ON exports (user_id)
    WHERE status IN ('queued', 'running');

-- For the foreign key: finished ones are in no other index.
CREATE INDEX exports_user_id_idx ON exports (user_id);

-- ── logs ─────────────────────────────────────────────────────────────────────
-- Append-only. None has a foreign key: a log row outlives what it speaks of,
-- and writing one must not lock the user's row.

CREATE TABLE audit_logs (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    actor_id    uuid,
    action      varchar(50) NOT NULL,
    target_type varchar(30),
    target_id   uuid,
    ip_address  inet,
    request_id  varchar(128),
    details     jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT audit_logs_details_check
        CHECK (jsonb_typeof(details) = 'object')
);

-- Both in the order in which they are listed, newest first.
CREATE INDEX audit_logs_created_at_idx ON audit_logs
    (created_at DESC, id DESC);
CREATE INDEX audit_logs_actor_id_idx ON audit_logs (actor_id, created_at DESC);

CREATE TABLE security_events (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    type       varchar(50) NOT NULL,
    ip_address inet,
    user_id    uuid,
    path       text,
    pattern    text,
    request_id varchar(128),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX security_events_created_at_idx ON security_events
    USING brin (created_at);

CREATE TABLE api_logs (
    id          uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    request_id  varchar(128) NOT NULL,
    user_id     uuid,
    method      varchar(10)  NOT NULL,
    path        text         NOT NULL,
    route       text,
    status      smallint     NOT NULL,
    duration_ms integer      NOT NULL,
    ip_address  inet,
    user_agent  text,
    error_code  varchar(50),
    created_at  timestamptz  NOT NULL DEFAULT now()
);

CREATE INDEX api_logs_created_at_idx ON api_logs (created_at DESC, id DESC);
CREATE INDEX api_logs_user_id_idx ON api_logs (user_id, created_at DESC);
