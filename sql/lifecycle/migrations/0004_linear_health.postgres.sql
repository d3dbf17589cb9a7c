-- How the sync of a workspace goes, for people who ask why nothing comes.

-- What the newest attempt brought; NULL since it worked again.
ALTER TABLE integrations_linear ADD COLUMN last_error TEXT COLLATE "C";
ALTER TABLE integrations_linear ADD COLUMN last_error_at_ms BIGINT;
-- To the second, and not written more often.
ALTER TABLE integrations_linear ADD COLUMN last_success_at_ms BIGINT;
