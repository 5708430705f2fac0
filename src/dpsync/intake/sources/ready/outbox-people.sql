-- All people of a table, here called person, for the setting reconcile: on PostgreSQL, MariaDB, MySQL and SQLite.
-- Change the names of the columns to yours. On a server, with a login that may read this and nothing else:
--   GRANT SELECT ON person TO dpsync_reader;
SELECT id, email AS emails, do_not_email AS opted_out, restricted,
  CASE WHEN erased_at IS NULL THEN 0 ELSE 1 END AS erased
FROM person
