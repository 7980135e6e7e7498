-- The demo: a session at the sqlite3 prompt over a real shop's year. `make demo` runs it; type any of it yourself:
--   sqlite3 build/demo.db   then   .load build/recommend
.load build/recommend
.mode box --wrap 60
.echo off
.print
.print "== The shop: Online Retail, a UK gift shop, December 2010 to December 2011 ====================================="
SELECT (SELECT count(*) FROM products) AS products, (SELECT count(*) FROM customers) AS customers,
       (SELECT count(*) FROM orders WHERE NOT cancelled) AS orders, (SELECT count(*) FROM events) AS lines,
       (SELECT count(*) FROM purchases) AS lines_for_models,
       (SELECT date(min(bought_at), 'unixepoch') || ' to ' || date(max(bought_at), 'unixepoch') FROM events) AS period;

.print
.print "== A model is one CREATE and one INSERT ==========================================================================="
.print
.print "CREATE VIRTUAL TABLE recs USING rec_model("
.print "  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=ials, factors=64);"
.print "INSERT INTO recs(recs, arg) VALUES('train', '{\"progress\":\"stderr\"}');"
DROP TABLE IF EXISTS recs;
CREATE VIRTUAL TABLE recs USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=ials, factors=64);
INSERT INTO recs(recs, arg) VALUES('train', '{"progress": "stderr"}');
SELECT version, algorithm, events, users, items, round(trained_seconds, 1) AS seconds, bytes FROM rec_versions;

.print
.print "== Customer 12388: what she bought most lately ..."
SELECT date(max(e.bought_at), 'unixepoch') AS bought, p.name, sum(e.quantity) AS pieces
  FROM purchases e JOIN products p USING (stock_code)
 WHERE e.customer_id = 12388 GROUP BY e.stock_code HAVING pieces > 0 ORDER BY max(e.bought_at) DESC, p.name LIMIT 8;

.print "... and what is recommended to her, with the reason"
.print
.print "SELECT r.rank, p.name, p.price, r.score, (name of the first item of r.because)"
.print "  FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.user = 12388 AND r.k = 8 ORDER BY r.rank;"
SELECT r.rank, p.name, p.price, round(r.score, 3) AS score,
       (SELECT name FROM products WHERE stock_code = r.because ->> '$.items[0].item') AS because_of
  FROM recs r JOIN products p ON p.stock_code = r.item
 WHERE r.user = 12388 AND r.k = 8 ORDER BY r.rank;

.print
.print "== More like this: REGENCY CAKESTAND 3 TIER (22423)"
.print
.print "SELECT p.name, r.score FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.similar_to = '22423' AND r.k = 5;"
SELECT p.name, round(r.score, 3) AS score
  FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.similar_to = '22423' AND r.k = 5 ORDER BY r.rank;

.print
.print "== Goes with this cart, no account needed: a white hanging heart holder and a white metal lantern"
.print
.print "... WHERE r.basket = '[\"85123A\",\"71053\"]' AND r.k = 5"
SELECT p.name, round(r.score, 3) AS score
  FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.basket = '["85123A","71053"]' AND r.k = 5 ORDER BY r.rank;

.print
.print "== Plain SQL is the rule engine: only what costs less than 2 pounds and is a bag (acts before the top 5, so 5 come back)"
.print
.print "... WHERE r.user = 12388 AND r.k = 5 AND r.item IN (SELECT stock_code FROM products WHERE price < 2 AND name LIKE '%BAG%')"
SELECT r.rank, p.name, p.price
  FROM recs r JOIN products p ON p.stock_code = r.item
 WHERE r.user = 12388 AND r.k = 5
   AND r.item IN (SELECT stock_code FROM products WHERE price < 2 AND name LIKE '%BAG%')
 ORDER BY r.rank;

.print
.print "== The shop's own page in her order: this month's most sold mugs, ranked for her"
.print
.print "... WHERE r.user = 12388 AND r.candidates = (SELECT json_group_array(stock_code) FROM ...)"
SELECT r.rank, p.name
  FROM recs r JOIN products p ON p.stock_code = r.item
 WHERE r.user = 12388
   AND r.candidates = (SELECT json_group_array(stock_code) FROM (
         SELECT stock_code FROM purchases JOIN products USING (stock_code)
          WHERE name LIKE '%MUG%' AND bought_at >= unixepoch('2011-11-01')
          GROUP BY stock_code ORDER BY sum(quantity) DESC LIMIT 6))
 ORDER BY r.rank;

.print
.print "== A purchase counts at once: no retraining. Before and after she buys the first of them (rolled back afterwards)"
BEGIN;
SELECT 'before' AS list, group_concat(item, ' ') AS items FROM (SELECT item FROM recs WHERE user = 12388 AND k = 6 ORDER BY rank);
INSERT INTO events(invoice, customer_id, stock_code, quantity, price, bought_at) VALUES('new', 12388, '22457', 12, 2.95, unixepoch('2011-12-10'));
SELECT 'after' AS list, group_concat(item, ' ') AS items FROM (SELECT item FROM recs WHERE user = 12388 AND k = 6 ORDER BY rank);
ROLLBACK;

.print
.print "== How good is it? Trained before 2011-11-09, judged on what was bought from then on, with 95 % intervals over customers"
.print
.print "INSERT INTO recs(recs, arg) VALUES('train', '{\"algorithm\":\"item_knn\",\"until\":1320796800,\"activate\":\"never\"}');"
.print "SELECT * FROM rec_evaluate('recs', 'bought_new', '{\"version\":2}');"
DROP VIEW IF EXISTS bought_later; DROP VIEW IF EXISTS bought_new;
-- What a customer kept of what she bought after the cut.
CREATE VIEW bought_later AS
  SELECT customer_id, stock_code, min(bought_at) AS bought_at FROM purchases WHERE bought_at >= 1320796800
   GROUP BY customer_id, stock_code HAVING sum(quantity) > 0;
-- ... and had not before.
CREATE VIEW bought_new AS
  SELECT l.* FROM bought_later l WHERE NOT EXISTS (
    SELECT 1 FROM purchases p WHERE p.customer_id = l.customer_id AND p.stock_code = l.stock_code AND p.bought_at < 1320796800
     GROUP BY p.customer_id HAVING sum(p.quantity) > 0);
INSERT INTO recs(recs, arg) VALUES('train', '{"algorithm": "popular","until": 1320796800,"activate": "never"}');
INSERT INTO recs(recs, arg) VALUES('train', '{"algorithm": "item_knn","until": 1320796800,"activate": "never"}');
INSERT INTO recs(recs, arg) VALUES('train', '{"algorithm": "ials","until": 1320796800,"activate": "never"}');

CREATE TEMP TABLE judged AS
        SELECT 1 AS task, 'popular' AS algorithm, * FROM rec_evaluate('recs', 'bought_new', '{"version": 2}') WHERE model = 'recs'
  UNION ALL SELECT 1, 'item_knn', * FROM rec_evaluate('recs', 'bought_new', '{"version": 3}') WHERE model = 'recs'
  UNION ALL SELECT 1, 'ials', * FROM rec_evaluate('recs', 'bought_new', '{"version": 4}') WHERE model = 'recs'
  UNION ALL SELECT 2, 'popular', * FROM rec_evaluate('recs', 'bought_later', '{"version": 2,"exclude_seen": false}') WHERE model = 'recs'
  UNION ALL SELECT 2, 'item_knn', * FROM rec_evaluate('recs', 'bought_later', '{"version": 3,"exclude_seen": false}') WHERE model = 'recs'
  UNION ALL SELECT 2, 'ials', * FROM rec_evaluate('recs', 'bought_later', '{"version": 4,"exclude_seen": false}') WHERE model = 'recs';
SELECT CASE task WHEN 1 THEN 'new to the customer' ELSE 'with repeat purchases' END AS products, algorithm,
       max(printf('%.3f  (%.3f to %.3f)', value, ci_low, ci_high)) FILTER (WHERE metric = 'ndcg') AS "NDCG@10",
       max(printf('%.3f', value)) FILTER (WHERE metric = 'recall') AS "recall@10",
       max(printf('%.3f', value)) FILTER (WHERE metric = 'hit') AS "hit@10",
       max(printf('%.3f', value)) FILTER (WHERE metric = 'coverage') AS coverage, users
  FROM judged GROUP BY task, algorithm ORDER BY task, max(value) FILTER (WHERE metric = 'ndcg');

.print
.print "== Vectors: the products by words of their names, nearest neighbours with a filter inside the search"
.print
.print "CREATE VIRTUAL TABLE looks USING rec_index(embedding float[3], metric=cosine, price real);   -- size, colour, kind"
DROP TABLE IF EXISTS looks;
CREATE VIRTUAL TABLE looks USING rec_index(embedding float[3], metric=cosine, price real);
INSERT INTO looks(rowid, embedding, price)
  SELECT row_number() OVER (ORDER BY stock_code),
         json_array(1 + (name LIKE '%LARGE%') - (name LIKE '%SMALL%') - (name LIKE '%MINI%'),
                    1 + 2 * (name LIKE '%RED%') + 4 * (name LIKE '%PINK%') - (name LIKE '%WHITE%'),
                    1 + 3 * (name LIKE '%BAG%') + 5 * (name LIKE '%MUG%') + 7 * (name LIKE '%LANTERN%')), price
    FROM products WHERE name IS NOT NULL AND price > 0;
SELECT p.name, p.price, round(l.score, 4) AS cosine
  FROM looks l JOIN (SELECT row_number() OVER (ORDER BY stock_code) AS id, name, price FROM products WHERE name IS NOT NULL AND price > 0) p ON p.id = l.rowid
 WHERE l.embedding MATCH '[2, 3, 4]' AND l.k = 4 AND l.price < 2 ORDER BY l.rank;

.print
.print "== Models, versions, deployments are rows"
SELECT model, algorithm, active, versions, events, history FROM rec_models;
.print
.print "Done. Your turn:   sqlite3 -cmd '.load build/recommend' build/demo.db"
