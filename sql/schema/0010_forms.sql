-- Forms: what people who need no account ask for.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.
--
-- A submission stays when the account that sent it, or handles it, is deleted.
-- Lists are newest first, of all or of one state.

-- ── contact_submissions ──────────────────────────────────────────────────────

CREATE TABLE contact_submissions (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name       varchar(100) NOT NULL,
    email      varchar(255) NOT NULL,
    -- a plus sign and 30 further characters
    phone      varchar(31),
    company    varchar(150),
    subject    varchar(200) NOT NULL,
    message    text         NOT NULL,
    source     varchar(100),
    status     varchar(20)  NOT NULL DEFAULT 'new',
    admin_note text,
    handled_by uuid         REFERENCES users (id) ON DELETE SET NULL,
    user_id    uuid         REFERENCES users (id) ON DELETE SET NULL,
    ip_address inet         NOT NULL,
    user_agent text,
    created_at timestamptz  NOT NULL DEFAULT now(),
    updated_at timestamptz  NOT NULL DEFAULT now(),

    CONSTRAINT contact_submissions_status_check
        CHECK (status IN ('new', 'in_progress', 'resolved', 'spam'))
);

CREATE INDEX contact_submissions_created_at_idx
    ON contact_submissions (created_at DESC, id DESC);
CREATE INDEX contact_submissions_status_idx
    ON contact_submissions (status, created_at DESC, id DESC);
-- for exports and for the deletion of accounts
CREATE INDEX contact_submissions_user_idx ON contact_submissions (user_id, id)
    WHERE user_id IS NOT NULL;
CREATE INDEX contact_submissions_handled_by_idx
    ON contact_submissions (handled_by) WHERE handled_by IS NOT NULL;

-- ── demo_requests ────────────────────────────────────────────────────────────

CREATE TABLE demo_requests (
    id             uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name           varchar(100) NOT NULL,
    email          varchar(255) NOT NULL,
    company        varchar(150) NOT NULL,
    job_title      varchar(100),
    phone          varchar(31),
    company_size   varchar(10),
    use_case       text,
    preferred_date date,
    timezone       varchar(64),
    message        text,
    source         varchar(100),
    status         varchar(20)  NOT NULL DEFAULT 'new',
    admin_note     text,
    handled_by     uuid         REFERENCES users (id) ON DELETE SET NULL,
    user_id        uuid         REFERENCES users (id) ON DELETE SET NULL,
    ip_address     inet         NOT NULL,
    user_agent     text,
    created_at     timestamptz  NOT NULL DEFAULT now(),
    updated_at     timestamptz  NOT NULL DEFAULT now(),

    CONSTRAINT demo_requests_company_size_check CHECK (
        company_size IN ('1-10', '11-50', '51-200', '201-1000', '1000+')),
    CONSTRAINT demo_requests_status_check CHECK (
        status IN ('new', 'contacted', 'scheduled', 'completed', 'declined'))
);

CREATE INDEX demo_requests_created_at_idx
    ON demo_requests (created_at DESC, id DESC);
CREATE INDEX demo_requests_status_idx
    ON demo_requests (status, created_at DESC, id DESC);
CREATE INDEX demo_requests_user_idx ON demo_requests (user_id, id)
    WHERE user_id IS NOT NULL;
CREATE INDEX demo_requests_handled_by_idx ON demo_requests (handled_by)
    WHERE handled_by IS NOT NULL;
