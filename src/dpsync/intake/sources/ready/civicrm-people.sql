-- All contacts of CiviCRM, for the setting reconcile: with the addresses and wishes of each, and into which other
-- contact it was merged. A contact that was deleted for good after a merge is listed, too, with what it went into.
-- An address on hold (civicrm_email.on_hold) and the groups that somebody left are not looked at here.
-- If the GDPR extension gives forgotten people another last name than Anonymous, change it in both places.
-- With a login that may read this and nothing else:
--   GRANT SELECT (id, last_name, is_opt_out, do_not_email, do_not_phone, do_not_mail, do_not_sms, is_deleted,
--     modified_date) ON civicrm_contact TO 'dpsync_reader'@'dpsync.example.org';
--   GRANT SELECT (contact_id, email) ON civicrm_email TO 'dpsync_reader'@'dpsync.example.org';
--   GRANT SELECT (id, activity_type_id, source_record_id, parent_id) ON civicrm_activity TO 'dpsync_reader'@'dpsync.example.org';
--   GRANT SELECT (activity_id, contact_id, record_type_id) ON civicrm_activity_contact TO 'dpsync_reader'@'dpsync.example.org';
--   GRANT SELECT ON civicrm_option_group TO 'dpsync_reader'@'dpsync.example.org';
--   GRANT SELECT ON civicrm_option_value TO 'dpsync_reader'@'dpsync.example.org';
WITH activity AS (
  SELECT a.id, a.source_record_id, a.parent_id, v.name
  FROM civicrm_activity a
  JOIN civicrm_option_group g ON g.name = 'activity_type'
  JOIN civicrm_option_value v ON v.option_group_id = g.id AND v.value = a.activity_type_id
  WHERE v.name IN ('Contact Merged', 'Contact Deleted by Merge')
), told AS (
  SELECT a.source_record_id AS loser, w.contact_id AS winner
  FROM activity a JOIN civicrm_activity_contact w ON w.activity_id = a.id AND w.record_type_id = 3
  WHERE a.name = 'Contact Merged' AND a.source_record_id IS NOT NULL
  UNION ALL
  SELECT l.contact_id, w.contact_id
  FROM activity a JOIN civicrm_activity_contact l ON l.activity_id = a.id AND l.record_type_id = 3
  JOIN civicrm_activity_contact w ON w.activity_id = a.parent_id AND w.record_type_id = 3
  WHERE a.name = 'Contact Deleted by Merge'
), merged AS (
  SELECT loser, MAX(winner) AS winner FROM told WHERE loser <> winner GROUP BY loser
), email AS (
  SELECT contact_id, JSON_ARRAYAGG(email) AS emails FROM civicrm_email WHERE email <> '' GROUP BY contact_id
)
SELECT c.id, e.emails,
  IF(c.is_opt_out = 1 OR c.do_not_email = 1, 1, 0) AS opted_out,
  IF(c.last_name = 'Anonymous' AND c.is_opt_out = 1 AND c.do_not_email = 1 AND c.do_not_phone = 1
    AND c.do_not_mail = 1 AND c.do_not_sms = 1, 1, 0) AS erased,
  IF(c.is_deleted = 1, 1, 0) AS deleted,
  IF(c.is_deleted = 1, m.winner, NULL) AS merged_into, IF(c.is_deleted = 1, w.emails, NULL) AS winner_emails,
  c.modified_date AS changed_at
FROM civicrm_contact c
LEFT JOIN email e ON e.contact_id = c.id
LEFT JOIN merged m ON m.loser = c.id
LEFT JOIN email w ON w.contact_id = m.winner
UNION ALL
SELECT m.loser, NULL, 0, 0, 1, m.winner, w.emails, NULL
FROM merged m
LEFT JOIN civicrm_contact c ON c.id = m.loser
LEFT JOIN email w ON w.contact_id = m.winner
WHERE c.id IS NULL
