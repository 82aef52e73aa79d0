-- Everything the control plane must not forget. Applied at every start; statements only ever add.

-- The steward's rows, one table for each kind: key and versioned CBOR value.
CREATE TABLE IF NOT EXISTS device    (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bundle    (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rollout   (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS member    (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aggregate (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dedupe    (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event     (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;

-- Invitations: only the hash of the secret.
CREATE TABLE IF NOT EXISTS token (
    hash      TEXT PRIMARY KEY NOT NULL,  -- SHA-256 of the secret, hexadecimal
    device    TEXT,                       -- the only name it admits, when given; that name may be taken
    created   INTEGER NOT NULL,           -- seconds since 1970
    expires   INTEGER NOT NULL,           -- seconds since 1970
    uses      INTEGER NOT NULL DEFAULT 1, -- devices it admits
    used      INTEGER NOT NULL DEFAULT 0, -- devices it admitted
    names     INTEGER NOT NULL DEFAULT 0, -- rows of token_name; with 0 it admits any name
    withdrawn INTEGER                     -- seconds since 1970
) WITHOUT ROWID;

-- Whom an invitation admitted.
CREATE TABLE IF NOT EXISTS token_use (
    token   TEXT NOT NULL REFERENCES token (hash) ON DELETE CASCADE,
    device  TEXT NOT NULL,
    at      INTEGER NOT NULL,             -- seconds since 1970
    request TEXT NOT NULL,                -- SHA-256 of the request, so that a lost reply can be repeated
    PRIMARY KEY (token, device)
) WITHOUT ROWID;

-- The only names that an invitation admits.
CREATE TABLE IF NOT EXISTS token_name (
    token  TEXT NOT NULL REFERENCES token (hash) ON DELETE CASCADE,
    device TEXT NOT NULL,
    PRIMARY KEY (token, device)
) WITHOUT ROWID;

-- Devices that joined by their maker's certificate: each serial number once.
CREATE TABLE IF NOT EXISTS vendor_join (
    issuer  TEXT NOT NULL,              -- SHA-256 of the issuer's name, hexadecimal
    serial  TEXT NOT NULL,
    device  TEXT NOT NULL,
    at      INTEGER NOT NULL,           -- seconds since 1970
    request TEXT NOT NULL,              -- SHA-256 of the request, so that a lost reply can be repeated
    PRIMARY KEY (issuer, serial)
) WITHOUT ROWID;

-- Who may speak: one row for each device.
CREATE TABLE IF NOT EXISTS enrolled (
    device         TEXT PRIMARY KEY NOT NULL,
    report_key     TEXT NOT NULL,       -- ed25519, hexadecimal
    device_profile TEXT NOT NULL,
    joined         INTEGER NOT NULL,    -- seconds since 1970
    serial         TEXT NOT NULL        -- the certificate it uses now
) WITHOUT ROWID;

-- Every certificate issued.
CREATE TABLE IF NOT EXISTS certificate (
    serial    TEXT PRIMARY KEY NOT NULL,
    device    TEXT NOT NULL,
    not_after INTEGER NOT NULL,         -- seconds since 1970
    revoked   INTEGER,                  -- seconds since 1970
    pem       TEXT NOT NULL
) WITHOUT ROWID;

-- Repository metadata by file name; what is here is published.
-- A fleet joins within minutes: nothing that one device needs may read the rows of all others.
CREATE INDEX IF NOT EXISTS token_ended         ON token (expires);
CREATE INDEX IF NOT EXISTS token_open          ON token (expires) WHERE used < uses AND withdrawn IS NULL;
CREATE INDEX IF NOT EXISTS token_device        ON token (device) WHERE device IS NOT NULL;
CREATE INDEX IF NOT EXISTS certificate_of      ON certificate (device);
CREATE INDEX IF NOT EXISTS certificate_revoked ON certificate (not_after) WHERE revoked IS NOT NULL;

CREATE TABLE IF NOT EXISTS metadata (
    repository TEXT NOT NULL,           -- image or director
    name       TEXT NOT NULL,
    bytes      BLOB NOT NULL,
    PRIMARY KEY (repository, name)
);

-- The last version signed for each device, so that a restart never signs a lower one.
CREATE TABLE IF NOT EXISTS director (
    device   TEXT PRIMARY KEY NOT NULL,
    sequence INTEGER NOT NULL
) WITHOUT ROWID;

-- Addresses, anchor, schema version.
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
