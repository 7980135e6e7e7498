-- What a shop runs at night, by cron or a timer: train without holding the write lock, store, keep three versions, look after the
-- file. The model is called recs; an error ends it with a code above 0, and last night's version goes on answering.
--   sqlite3 -cmd '.load recommend' shop.db <sql/nightly.sql
.bail on
.timeout 60000

-- Training reads a snapshot and writes into the temporary database: orders go on meanwhile.
CREATE TEMP TABLE trained AS SELECT rec_train('recs') AS version;

-- Milliseconds under the write lock. The newest three versions stay, and the one before the active one, for `rollback`.
INSERT INTO recs(recs, arg, options) SELECT 'load', version, '{"keep": 3}' FROM trained;

SELECT printf('version %d: %d events, %d users, %d items', version, events, users, items)
  FROM rec_versions WHERE model = 'recs' AND active;
.output /dev/null
PRAGMA optimize;
PRAGMA wal_checkpoint(TRUNCATE);
.output stdout
