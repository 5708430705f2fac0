-- The outbox of a table of people, here called person, in MariaDB 10.5 or MySQL 8.0, or newer.
-- Run it once, as a user who may create triggers. Change the names of the columns to yours, here and in the mapping.

CREATE TABLE dpsync_outbox (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  event_id CHAR(36) NOT NULL UNIQUE,
  made_at DATETIME(6) NOT NULL,               -- UTC
  message MEDIUMTEXT NOT NULL,                -- JSON; dpsync empties it once it has the request
  state VARCHAR(10) NOT NULL DEFAULT 'new',   -- new, taken or refused
  reason VARCHAR(200) NULL,                   -- why it was refused
  KEY dpsync_outbox_by_state (state, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TRIGGER dpsync_person_insert AFTER INSERT ON person FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('type', 'INSERT', 'table', 'person', 'record', JSON_OBJECT(
  'id', NEW.id, 'email', NEW.email, 'name', NEW.name, 'do_not_email', NEW.do_not_email, 'restricted', NEW.restricted,
  'erased_at', NEW.erased_at))
FROM DUAL WHERE NEW.do_not_email = 1 OR NEW.restricted = 1;

CREATE TRIGGER dpsync_person_update AFTER UPDATE ON person FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('type', 'UPDATE', 'table', 'person', 'record', JSON_OBJECT(
  'id', NEW.id, 'email', NEW.email, 'name', NEW.name, 'do_not_email', NEW.do_not_email, 'restricted', NEW.restricted,
  'erased_at', NEW.erased_at), 'old_record', JSON_OBJECT(
  'id', OLD.id, 'email', OLD.email, 'name', OLD.name, 'do_not_email', OLD.do_not_email, 'restricted', OLD.restricted,
  'erased_at', OLD.erased_at))
FROM DUAL WHERE NOT (OLD.email <=> NEW.email AND OLD.do_not_email <=> NEW.do_not_email
  AND OLD.restricted <=> NEW.restricted AND OLD.erased_at <=> NEW.erased_at);

CREATE TRIGGER dpsync_person_delete AFTER DELETE ON person FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('type', 'DELETE', 'table', 'person', 'old_record', JSON_OBJECT(
  'id', OLD.id, 'email', OLD.email, 'name', OLD.name))
FROM DUAL;

-- Without it, dpsync would need the right to create triggers only to see whether these are still there.
CREATE PROCEDURE dpsync_triggers() READS SQL DATA SQL SECURITY DEFINER
SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME LIKE 'dpsync%';

-- A login that may do this and nothing else. Take a password of your own, and the host of dpsync:
--   CREATE USER 'dpsync'@'dpsync.example.org' IDENTIFIED BY '...' REQUIRE SSL;
--   GRANT SELECT, UPDATE ON dpsync_outbox TO 'dpsync'@'dpsync.example.org';
--   GRANT EXECUTE ON PROCEDURE dpsync_triggers TO 'dpsync'@'dpsync.example.org';
-- To take it all away, drop the triggers first: without the table, each change of a person would fail.
