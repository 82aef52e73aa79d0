-- From version 1: an invitation may admit more than one device.
DROP INDEX IF EXISTS token_open;
ALTER TABLE token ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;
ALTER TABLE token ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN names INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN withdrawn INTEGER;
CREATE TABLE token_use (
    token   TEXT NOT NULL REFERENCES token (hash) ON DELETE CASCADE,
    device  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (token, device)
) WITHOUT ROWID;
INSERT INTO token_use SELECT hash, used_by, coalesce(used_at, created), coalesce(request, '') FROM token
    WHERE used_by IS NOT NULL;
UPDATE token SET used = 1 WHERE used_by IS NOT NULL;
ALTER TABLE token DROP COLUMN used_by;
ALTER TABLE token DROP COLUMN used_at;
ALTER TABLE token DROP COLUMN request;
