-- The life of a model: one story over the sample shop, from the first training to a customer who is forgotten.
--   make demo; cp build/shop.db build/life.db; sqlite3 build/life.db <sql/life.sql
-- What is bought after 2011-11-01 is the truth that nobody has seen: a list that is shown on a day "sells" what its user
-- really bought on that day. All commands say when (at), so that the same story is told every time.
.load build/recommend
.mode list
.separator " | "
.headers off

CREATE TABLE history AS
  SELECT customer_id AS user, stock_code AS item, quantity, bought_at FROM purchases
   WHERE bought_at < unixepoch('2011-11-01') AND quantity > 0;
CREATE INDEX history_by_user ON history(user, item, quantity, bought_at);
-- who came back, on which days, and what they bought then
CREATE TABLE bought AS
  SELECT customer_id AS user, bought_at / 86400 AS day, stock_code AS item, sum(quantity * price) AS paid
    FROM events WHERE bought_at >= unixepoch('2011-11-01') AND quantity > 0
     AND customer_id IN (SELECT user FROM history) GROUP BY 1, 2, 3;
CREATE UNIQUE INDEX bought_on ON bought(user, day, item);
CREATE TABLE visits AS SELECT DISTINCT user, day FROM bought;
ANALYZE;

.print == 1. A first version, and a better one on data that neither has seen
CREATE VIRTUAL TABLE recs USING rec_model(
  events=history, user=user, item=item, weight=quantity, time=bought_at, algorithm=popular);
INSERT INTO recs(recs, arg, options) VALUES('train', '{}', '{"at": "2011-11-01 00:00:01", "author": "anna", "note": "to begin with"}');
INSERT INTO recs(recs, arg, options) VALUES('train', '{"algorithm": "item_knn", "activate": "if-better"}', '{"at": "2011-11-01 00:00:02", "author": "anna"}');
SELECT 'judged on held-out pairs of the same users', round(detail ->> 'active', 3), round(detail ->> 'candidate', 3), detail ->> 'activated'
  FROM rec_audit('recs') WHERE id = 2;
INSERT INTO recs(recs, arg, options) VALUES('activate', 1, '{"at": "2011-11-01 00:00:03", "note": "first to a few"}');
INSERT INTO recs(recs, arg, options) VALUES('alias', '{"champion": 1, "challenger": 2}', '{"at": "2011-11-01 00:00:04"}');
SELECT version, algorithm, active, aliases FROM rec_versions;
SELECT 'lists have in common, of ten', round(avg(shared), 1) FROM rec_shadow('recs', 'champion', 'challenger');

.print == 2. A canary: one user in ten for a week, then an experiment with half of them
INSERT INTO recs(recs, arg, options) VALUES('canary', '{"version": "challenger", "share": 0.1}', '{"at": "2011-11-01 00:00:05", "author": "anna"}');
-- an evening: every visitor of the day has been shown a list of ten, and has bought what she bought
CREATE TABLE evenings(day INTEGER PRIMARY KEY);
CREATE TRIGGER evening AFTER INSERT ON evenings BEGIN
  INSERT INTO recs(recs, arg)
    SELECT 'shown', json_object('list', v.user || '-' || v.day, 'user', v.user, 'at', v.day * 86400 + 28800, 'arm', max(r.arm), 'scenario', 'home',
           'items', json_group_array(json_object('item', r.item, 'rank', r.rank, 'version', r.version)))
      FROM visits v JOIN recs r ON r.user = v.user AND r.k = 10 WHERE v.day = new.day GROUP BY v.user;
  INSERT INTO recs(recs, arg)
    SELECT 'outcome', json_object('list', s.list, 'item', s.item, 'kind', 'purchase', 'value', b.paid, 'at', s.at + 3600)
      FROM rec_shown('recs') s JOIN bought b ON b.user = s.user AND b.day = new.day AND b.item = s.item
     WHERE s.at >= new.day * 86400 AND s.at < (new.day + 1) * 86400;
END;
WITH RECURSIVE d(day) AS (SELECT unixepoch('2011-11-01') / 86400 UNION ALL SELECT day + 1 FROM d WHERE day < unixepoch('2011-11-07') / 86400)
  INSERT INTO evenings SELECT day FROM d;
SELECT arm, version, users, round(value, 3) AS value, round(difference, 3) AS difference, verdict FROM rec_experiment('recs', 'canary');
INSERT INTO recs(recs, options) VALUES('stop', '{"at": "2011-11-08 00:00:01", "author": "anna", "note": "no harm to be seen"}');
INSERT INTO recs(recs, arg, options) VALUES('experiment',
  '{"name": "autumn", "arms": {"popular": "champion", "neighbours": "challenger"}, "metric": "conversion", "guards": ["revenue"]}',
  '{"at": "2011-11-08 00:00:02", "author": "anna"}');
WITH RECURSIVE d(day) AS (SELECT unixepoch('2011-11-08') / 86400 UNION ALL SELECT day + 1 FROM d WHERE day < unixepoch('2011-11-30') / 86400)
  INSERT INTO evenings SELECT day FROM d;
SELECT arm, users, metric, round(value, 3) AS value, round(difference, 3) AS difference, round(low_always, 3) AS low, round(high_always, 3) AS high,
       round(srm_p, 2) AS srm_p, verdict
  FROM rec_experiment('recs', 'autumn');
INSERT INTO recs(recs, arg, options) VALUES('stop', '{"promote": "neighbours"}', '{"at": "2011-12-01 00:00:01", "author": "anna", "note": "it sells more"}');
SELECT 'active now', version, action, author FROM rec_deployments ORDER BY deployment DESC LIMIT 1;

.print == 3. A bad version, taken back by a trigger
-- mf predicts how many of a product somebody buys, not which; half of the users get it, and every evening somebody looks
INSERT INTO recs(recs, arg, options) VALUES('train', '{"algorithm": "mf", "activate": "never"}', '{"at": "2011-12-01 00:00:02"}');
INSERT INTO recs(recs, arg, options) VALUES('experiment',
  '{"name": "risky", "arms": {"neighbours": 2, "risky": 3}, "metric": "conversion"}', '{"at": "2011-12-01 00:00:03", "author": "ben"}');
CREATE TABLE checks(day INTEGER);
CREATE TRIGGER guard_rail AFTER INSERT ON checks
  WHEN EXISTS (SELECT 1 FROM rec_experiment('recs', 'risky') WHERE verdict IN ('worse', 'harmed'))
   AND NOT EXISTS (SELECT 1 FROM rec_audit('recs') WHERE author = 'guard rail') BEGIN
  INSERT INTO recs(recs, options) VALUES('stop', json_object('at', (new.day + 1) * 86400, 'author', 'guard rail', 'note', 'conversion falls'));
END;
CREATE TABLE days(day INTEGER);
CREATE TRIGGER day_ends AFTER INSERT ON days BEGIN
  INSERT INTO evenings VALUES(new.day);
  INSERT INTO checks VALUES(new.day);
END;
WITH RECURSIVE d(day) AS (SELECT unixepoch('2011-12-01') / 86400 UNION ALL SELECT day + 1 FROM d WHERE day < unixepoch('2011-12-08') / 86400)
  INSERT INTO days SELECT day FROM d;
SELECT arm, users, round(value, 3) AS value, round(difference, 3) AS difference, round(low_always, 3) AS low, round(high_always, 3) AS high, verdict
  FROM rec_experiment('recs', 'risky');
SELECT command, date(at, 'unixepoch') AS at, author, note FROM rec_audit('recs') WHERE author = 'guard rail';
SELECT 'everybody has version', group_concat(DISTINCT version) FROM recs WHERE k = 1;

.print == 4. Interleaving: an eighth of the users is enough
INSERT INTO recs(recs, arg)
  SELECT 'shown', json_object('list', 'i' || v.user || '-' || v.day, 'user', v.user, 'at', v.day * 86400 + 28800, 'scenario', 'interleaved',
         'items', json_group_array(json_object('item', r.item, 'rank', r.rank, 'version', r.version, 'team', r.team)))
    FROM visits v JOIN recs r ON r.user = v.user AND r.k = 10 AND r.options = json_object('interleave', '1', 'draw', CAST(v.day AS TEXT))
   WHERE v.day >= unixepoch('2011-11-01') / 86400 AND v.user % 8 = 0 GROUP BY v.user, v.day;
INSERT INTO recs(recs, arg)
  SELECT 'outcome', json_object('list', s.list, 'item', s.item, 'kind', 'click', 'at', s.at + 3600)
    FROM rec_shown('recs') s JOIN bought b ON b.user = s.user AND b.day = CAST(s.at / 86400 AS INTEGER) AND b.item = s.item
   WHERE s.scenario = 'interleaved';
SELECT team, version, users, credited, lists_won, users_won, users_tied, round(preference, 3) AS preference, round(p, 5) AS p FROM rec_interleaving('recs', 'interleaved');

.print == 5. Who saw what, a year later
SELECT date('2011-11-05') AS day, version, arm, why FROM rec_live_at('recs', '2011-11-05', 14911);
SELECT date('2011-11-25') AS day, version, arm, why FROM rec_live_at('recs', '2011-11-25', 14911);
SELECT date('2011-12-09') AS day, version, arm, why FROM rec_live_at('recs', '2011-12-09', 14911);

.print == 6. Customer 14911 asks to be forgotten
SELECT place, rows FROM rec_verify_forgotten('recs', 14911);
INSERT INTO recs(recs, arg, options) VALUES('forget', 14911, '{"at": "2011-12-10", "author": "anna"}');
SELECT 'left', count(*) FROM rec_verify_forgotten('recs', 14911);

.print == 7. The log of commands, and what happens to a forger
SELECT 'chain', rec_audit_verify('recs') ->> 'ok', rec_audit_verify('recs') ->> 'rows';
UPDATE recs_audit SET note = 'it sells less' WHERE note = 'it sells more';
SELECT 'chain', rec_audit_verify('recs') ->> 'ok', 'row', rec_audit_verify('recs') ->> 'row', rec_audit_verify('recs') ->> 'what';
