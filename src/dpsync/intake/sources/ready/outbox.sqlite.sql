-- The outbox of a table of people, here called person, in SQLite 3.38 or newer.
-- Run it once. Change the names of the columns to yours, here and in the mapping.

CREATE TABLE dpsync_outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))),
  made_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  message TEXT NOT NULL,                 -- JSON; dpsync empties it once it has the request
  state TEXT NOT NULL DEFAULT 'new',     -- new, taken or refused
  reason TEXT                            -- why it was refused
);
CREATE INDEX dpsync_outbox_by_state ON dpsync_outbox (state, id);

CREATE TRIGGER dpsync_person_insert AFTER INSERT ON person FOR EACH ROW
WHEN NEW.do_not_email OR NEW.restricted
BEGIN
  INSERT INTO dpsync_outbox (message) VALUES (json_object('type', 'INSERT', 'table', 'person', 'record', json_object(
    'id', NEW.id, 'email', NEW.email, 'name', NEW.name, 'do_not_email', NEW.do_not_email, 'restricted', NEW.restricted,
    'erased_at', NEW.erased_at)));
END;

CREATE TRIGGER dpsync_person_update AFTER UPDATE ON person FOR EACH ROW
WHEN OLD.email IS NOT NEW.email OR OLD.do_not_email IS NOT NEW.do_not_email
  OR OLD.restricted IS NOT NEW.restricted OR OLD.erased_at IS NOT NEW.erased_at
BEGIN
  INSERT INTO dpsync_outbox (message) VALUES (json_object('type', 'UPDATE', 'table', 'person', 'record', json_object(
    'id', NEW.id, 'email', NEW.email, 'name', NEW.name, 'do_not_email', NEW.do_not_email, 'restricted', NEW.restricted,
    'erased_at', NEW.erased_at), 'old_record', json_object(
    'id', OLD.id, 'email', OLD.email, 'name', OLD.name, 'do_not_email', OLD.do_not_email, 'restricted', OLD.restricted,
    'erased_at', OLD.erased_at)));
END;

-- REPLACE INTO deletes without it, unless PRAGMA recursive_triggers is on: update rows instead.
CREATE TRIGGER dpsync_person_delete AFTER DELETE ON person FOR EACH ROW
BEGIN
  INSERT INTO dpsync_outbox (message) VALUES (json_object('type', 'DELETE', 'table', 'person', 'old_record', json_object(
    'id', OLD.id, 'email', OLD.email, 'name', OLD.name)));
END;

-- dpsync needs to read and write this file, and its folder.
-- To take it all away, drop the triggers first: without the table, each change of a person would fail.
