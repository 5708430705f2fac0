-- The outbox of a table of people, here called person, in PostgreSQL 13 or newer.
-- Run it once, as the owner of that table. Change the names of the columns to yours, here and in the mapping.

CREATE TABLE dpsync_outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id text NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  message text NOT NULL,                 -- JSON; dpsync empties it once it has the request
  state text NOT NULL DEFAULT 'new',     -- new, taken or refused
  reason text                            -- why it was refused
);
CREATE INDEX dpsync_outbox_by_state ON dpsync_outbox (state, id);

-- As its owner, so that whoever may change a person needs no right to write into the outbox.
CREATE FUNCTION dpsync_person_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  before person := CASE WHEN TG_OP <> 'INSERT' THEN OLD END;
  after person := CASE WHEN TG_OP <> 'DELETE' THEN NEW END;
BEGIN
  INSERT INTO dpsync_outbox (message) VALUES (json_build_object('type', TG_OP, 'table', 'person',
    'record', CASE WHEN TG_OP <> 'DELETE' THEN json_build_object('id', after.id, 'email', after.email,
      'name', after.name, 'do_not_email', after.do_not_email, 'restricted', after.restricted,
      'erased_at', after.erased_at) END,
    'old_record', CASE WHEN TG_OP <> 'INSERT' THEN json_build_object('id', before.id, 'email', before.email,
      'name', before.name, 'do_not_email', before.do_not_email, 'restricted', before.restricted,
      'erased_at', before.erased_at) END));
  RETURN NULL;
END $$;

CREATE TRIGGER dpsync_person_insert AFTER INSERT ON person FOR EACH ROW
WHEN (NEW.do_not_email OR NEW.restricted)
EXECUTE FUNCTION dpsync_person_changed();

CREATE TRIGGER dpsync_person_update AFTER UPDATE ON person FOR EACH ROW
WHEN ((OLD.email, OLD.do_not_email, OLD.restricted, OLD.erased_at)
  IS DISTINCT FROM (NEW.email, NEW.do_not_email, NEW.restricted, NEW.erased_at))
EXECUTE FUNCTION dpsync_person_changed();

CREATE TRIGGER dpsync_person_delete AFTER DELETE ON person FOR EACH ROW
EXECUTE FUNCTION dpsync_person_changed();

-- A login that may do this and nothing else. Take a password of your own:
--   CREATE ROLE dpsync LOGIN PASSWORD '...';
--   GRANT SELECT, UPDATE ON dpsync_outbox TO dpsync;
-- To take it all away, drop the triggers first: without the table, each change of a person would fail.
