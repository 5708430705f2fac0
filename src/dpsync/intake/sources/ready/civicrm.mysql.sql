-- The outbox of CiviCRM, in MariaDB 10.5 or MySQL 8.0, or newer.
-- Run it once in CiviCRM's database, as a user who may create triggers. CiviCRM makes its own triggers anew after an
-- update or a new field, and drops those whose names begin as its own do: these begin with dpsync. `dpsync check` counts
-- them all the same. On a server with a binary log and without SUPER, log_bin_trust_function_creators must be on.

CREATE TABLE dpsync_outbox (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  event_id CHAR(36) NOT NULL UNIQUE,
  made_at DATETIME(6) NOT NULL,               -- UTC
  message MEDIUMTEXT NOT NULL,                -- JSON; dpsync empties it once it has the request
  state VARCHAR(10) NOT NULL DEFAULT 'new',   -- new, taken or refused
  reason VARCHAR(200) NULL,                   -- why it was refused
  KEY dpsync_outbox_by_state (state, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TRIGGER dpsync_contact_update AFTER UPDATE ON civicrm_contact FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('table', 'civicrm_contact', 'op', 'update', 'contact_id', NEW.id,
  'emails', JSON_EXTRACT((SELECT JSON_ARRAYAGG(e.email) FROM civicrm_email e WHERE e.contact_id = NEW.id AND e.email <> ''), '$'),
  'old', JSON_OBJECT('name', OLD.display_name, 'last_name', OLD.last_name, 'is_opt_out', IFNULL(OLD.is_opt_out, 0),
    'do_not_email', IFNULL(OLD.do_not_email, 0), 'do_not_phone', IFNULL(OLD.do_not_phone, 0),
    'do_not_mail', IFNULL(OLD.do_not_mail, 0), 'do_not_sms', IFNULL(OLD.do_not_sms, 0),
    'is_deleted', IFNULL(OLD.is_deleted, 0)),
  'new', JSON_OBJECT('name', NEW.display_name, 'last_name', NEW.last_name, 'is_opt_out', IFNULL(NEW.is_opt_out, 0),
    'do_not_email', IFNULL(NEW.do_not_email, 0), 'do_not_phone', IFNULL(NEW.do_not_phone, 0),
    'do_not_mail', IFNULL(NEW.do_not_mail, 0), 'do_not_sms', IFNULL(NEW.do_not_sms, 0),
    'is_deleted', IFNULL(NEW.is_deleted, 0)))
FROM DUAL
WHERE IFNULL(OLD.is_opt_out, 0) <> IFNULL(NEW.is_opt_out, 0) OR IFNULL(OLD.do_not_email, 0) <> IFNULL(NEW.do_not_email, 0)
  OR IFNULL(OLD.is_deleted, 0) <> IFNULL(NEW.is_deleted, 0)
  OR (NOT (OLD.last_name <=> NEW.last_name) AND NEW.is_opt_out = 1 AND NEW.do_not_email = 1 AND NEW.do_not_phone = 1
    AND NEW.do_not_mail = 1 AND NEW.do_not_sms = 1);

-- Before, not after: the addresses go with the contact, and MariaDB calls no trigger for rows that a foreign key deletes.
CREATE TRIGGER dpsync_contact_delete BEFORE DELETE ON civicrm_contact FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('table', 'civicrm_contact', 'op', 'delete', 'contact_id', OLD.id,
  'emails', JSON_EXTRACT((SELECT JSON_ARRAYAGG(e.email) FROM civicrm_email e WHERE e.contact_id = OLD.id AND e.email <> ''), '$'),
  'old', JSON_OBJECT('name', OLD.display_name, 'is_deleted', IFNULL(OLD.is_deleted, 0)))
FROM DUAL;

-- A new address of somebody who wants no mail: processors know the old ones only.
CREATE TRIGGER dpsync_email_insert AFTER INSERT ON civicrm_email FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('table', 'civicrm_email', 'op', 'insert', 'contact_id', NEW.contact_id,
  'new', JSON_OBJECT('email', NEW.email))
FROM civicrm_contact c
WHERE c.id = NEW.contact_id AND (c.is_opt_out = 1 OR c.do_not_email = 1) AND NEW.email <> '';

-- A merge moves addresses to another contact: the contact changes there, and the address does not.
CREATE TRIGGER dpsync_email_update AFTER UPDATE ON civicrm_email FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('table', 'civicrm_email', 'contact_id', OLD.contact_id,
  'op', CASE WHEN OLD.email <=> NEW.email THEN 'hold' WHEN IFNULL(NEW.email, '') = '' THEN 'delete' ELSE 'update' END,
  'emails', JSON_ARRAY(OLD.email),
  'old', JSON_OBJECT('email', OLD.email, 'on_hold', OLD.on_hold), 'new', JSON_OBJECT('email', NEW.email, 'on_hold', NEW.on_hold))
FROM DUAL
WHERE (NOT (OLD.email <=> NEW.email) AND OLD.email <> '')
  OR (OLD.on_hold <> NEW.on_hold AND (OLD.on_hold = 2 OR NEW.on_hold = 2));

CREATE TRIGGER dpsync_email_delete BEFORE DELETE ON civicrm_email FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('table', 'civicrm_email', 'op', 'delete', 'contact_id', OLD.contact_id,
  'emails', JSON_EXTRACT((SELECT JSON_ARRAYAGG(e.email) FROM civicrm_email e WHERE e.contact_id = OLD.contact_id AND e.email <> ''), '$'),
  'old', JSON_OBJECT('email', OLD.email, 'on_hold', OLD.on_hold))
FROM DUAL WHERE OLD.contact_id IS NOT NULL AND OLD.email <> '';

CREATE TRIGGER dpsync_group_update AFTER UPDATE ON civicrm_group_contact FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('table', 'civicrm_group_contact', 'op', 'update', 'contact_id', NEW.contact_id,
  'emails', JSON_EXTRACT((SELECT JSON_ARRAYAGG(e.email) FROM civicrm_email e WHERE e.contact_id = NEW.contact_id AND e.email <> ''), '$'),
  'group', JSON_OBJECT('name', g.name, 'title', g.title, 'mailing', IF(g.group_type LIKE CONCAT('%', CHAR(1), '2', CHAR(1), '%'), 1, 0)),
  'old', JSON_OBJECT('status', OLD.status), 'new', JSON_OBJECT('status', NEW.status))
FROM civicrm_group g
WHERE g.id = NEW.group_id AND NEW.status = 'Removed' AND NOT (OLD.status <=> NEW.status);

-- "Contact Deleted by Merge" is written for the loser, and its parent, "Contact Merged", for the winner; newer versions
-- name the loser there as the source, too. 3: whom an activity is about.
CREATE TRIGGER dpsync_merge_insert AFTER INSERT ON civicrm_activity_contact FOR EACH ROW
INSERT INTO dpsync_outbox (event_id, made_at, message)
SELECT UUID(), UTC_TIMESTAMP(6), JSON_OBJECT('table', 'merge', 'op', 'insert', 'contact_id', m.loser, 'winner_id', m.winner,
  'emails', JSON_EXTRACT((SELECT JSON_ARRAYAGG(e.email) FROM civicrm_email e WHERE e.contact_id = m.loser AND e.email <> ''), '$'),
  'winner_emails', JSON_EXTRACT((SELECT JSON_ARRAYAGG(e.email) FROM civicrm_email e WHERE e.contact_id = m.winner AND e.email <> ''), '$'))
FROM (
  SELECT IF(v.name = 'Contact Merged', a.source_record_id, NEW.contact_id) AS loser,
    IF(v.name = 'Contact Merged', NEW.contact_id, (SELECT MAX(w.contact_id) FROM civicrm_activity_contact w
      WHERE w.activity_id = a.parent_id AND w.record_type_id = 3)) AS winner
  FROM civicrm_activity a
  JOIN civicrm_option_group t ON t.name = 'activity_type'
  JOIN civicrm_option_value v ON v.option_group_id = t.id AND v.value = a.activity_type_id
  WHERE a.id = NEW.activity_id AND NEW.record_type_id = 3
    AND (v.name = 'Contact Deleted by Merge' OR (v.name = 'Contact Merged' AND a.source_record_id IS NOT NULL))) m;

-- Without it, dpsync would need the right to create triggers only to see whether these are still there.
CREATE PROCEDURE dpsync_triggers() READS SQL DATA SQL SECURITY DEFINER
SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME LIKE 'dpsync%';

-- A login that may do this and nothing else. Take a password of your own, and the host of dpsync:
--   CREATE USER 'dpsync'@'dpsync.example.org' IDENTIFIED BY '...' REQUIRE SSL;
--   GRANT SELECT, UPDATE ON dpsync_outbox TO 'dpsync'@'dpsync.example.org';
--   GRANT EXECUTE ON PROCEDURE dpsync_triggers TO 'dpsync'@'dpsync.example.org';
-- To take it all away, drop the triggers first: without the table, each change of a contact would fail.
