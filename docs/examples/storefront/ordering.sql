-- The order of the shelf "For you" as a worked example of ranking: candidates from a model as it was, features as they were then, boosted
-- trees that learn the order (LambdaMART), places' chances of being looked at, money, variety. Run once after prepare.sql, then nightly,
-- while the shop is open: what serves changes in one step. 25 seconds.   sqlite3 -cmd '.load recommend' storefront.db <ordering.sql
.bail on

-- 1. Lists as the model would have shown them on three days of the past, to whom bought in the 30 days after: two to learn from, the last
--    to judge. A version that was trained with `until` reads no history after that time.
DROP TABLE IF EXISTS moments;
DROP TABLE IF EXISTS impressions;
CREATE TABLE moments(at INTEGER PRIMARY KEY, part TEXT NOT NULL);
INSERT INTO moments SELECT unixepoch('now', 'start of day', column1), column2 FROM (VALUES('-90 days', 'train'), ('-60 days', 'train'), ('-30 days', 'validation'));
CREATE TABLE impressions(
  id INTEGER PRIMARY KEY,
  list TEXT NOT NULL,
  at INTEGER NOT NULL,               -- the day's beginning: what is known then
  part TEXT NOT NULL, customer_id INTEGER NOT NULL, stock_code TEXT NOT NULL,
  rank INTEGER, score REAL,          -- the model's
  examination REAL NOT NULL,         -- the chance that the place was looked at
  taken INTEGER NOT NULL             -- bought within 30 days, or clicked
);
CREATE VIRTUAL TABLE then_recs USING rec_model(events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at);
INSERT INTO then_recs(then_recs, arg) SELECT 'train', json_object('until', at) FROM moments ORDER BY at;
INSERT INTO impressions(list, at, part, customer_id, stock_code, rank, score, examination, taken)
  WITH lists AS MATERIALIZED (
    SELECT m.at, m.part, r.user, r.item, r.rank, r.score
      FROM moments m JOIN rec_versions v ON v.model = 'then_recs' AND v.until = m.at
      JOIN then_recs r ON r.options = json_object('version', v.version) AND r.k = 40),
  later AS MATERIALIZED (
    SELECT m.at, p.customer_id, p.stock_code FROM moments m JOIN purchases p ON p.bought_at >= m.at AND p.bought_at < m.at + 30 * 86400
     WHERE p.quantity > 0 GROUP BY 1, 2, 3)
  SELECT l.at || '-' || l.user, l.at, l.part, l.user, l.item, l.rank, l.score, 1.0, t.stock_code IS NOT NULL
    FROM lists l JOIN (SELECT DISTINCT at, customer_id FROM later) b ON b.at = l.at AND b.customer_id = l.user
    LEFT JOIN later t ON t.at = l.at AND t.customer_id = l.user AND t.stock_code = l.item
   ORDER BY l.at, l.user, l.rank;
DROP TABLE then_recs;

-- 2. What the site has shown since, from the model's own log. A place far down is looked at less: rec_position_bias says how much less from
--    lists that were swapped (docs/reference/life.md), else 1 / rank is a fair start.
INSERT INTO impressions(list, at, part, customer_id, stock_code, rank, score, examination, taken)
  SELECT s.list, cast(s.at / 86400 AS INTEGER) * 86400, 'train', s.user, s.item, s.rank, NULL, coalesce(b.examination, 1.0 / s.rank), count(o.item) > 0
    FROM rec_shown('recs') s
    LEFT JOIN rec_position_bias('recs') b ON b.rank = s.rank
    LEFT JOIN rec_outcomes('recs') o ON o.list = s.list AND o.item = s.item AND o.kind = 'click'
   WHERE s.scenario = 'home' AND s.item IS NOT NULL AND typeof(s.user) = 'integer'
   GROUP BY s.list, s.rank;

-- 3. Features as they were at the time of the list, never after it.
DROP TABLE IF EXISTS product_then;
CREATE TABLE product_then AS
  SELECT m.at, p.stock_code, count(DISTINCT p.customer_id) AS buyers,
         count(DISTINCT CASE WHEN p.bought_at >= m.at - 30 * 86400 THEN p.customer_id END) AS buyers_lately,
         (m.at - max(p.bought_at)) / 86400.0 AS product_days
    FROM (SELECT DISTINCT at FROM impressions UNION SELECT unixepoch('now', 'start of day')) m JOIN purchases p ON p.bought_at < m.at AND p.quantity > 0
   GROUP BY 1, 2;
CREATE UNIQUE INDEX product_then_at ON product_then(at, stock_code);
DROP TABLE IF EXISTS customer_then;
CREATE TABLE customer_then AS
  SELECT m.at, e.customer_id, count(DISTINCT e.stock_code) AS her_products, count(DISTINCT e.invoice) AS her_orders, avg(e.price) AS her_price,
         (m.at - max(e.bought_at)) / 86400.0 AS her_days
    FROM (SELECT DISTINCT at, customer_id FROM impressions) m JOIN events e ON e.customer_id = m.customer_id AND e.bought_at < m.at AND e.quantity > 0
   GROUP BY 1, 2;
CREATE UNIQUE INDEX customer_then_at ON customer_then(at, customer_id);
DROP TABLE IF EXISTS ordering_examples;
CREATE TABLE ordering_examples AS
  SELECT i.id, i.part, i.list, 1 / max(i.examination, 0.05) AS weight,
         i.rank, i.score, p.buyers, p.buyers_lately, p.product_days, 1.0 * p.buyers_lately / p.buyers AS trend,
         c.her_products, c.her_orders, c.her_days, c.her_price, k.price, k.price / c.her_price AS dear, i.taken
    FROM impressions i JOIN catalogue k USING (stock_code)
    LEFT JOIN product_then p ON p.at = i.at AND p.stock_code = i.stock_code
    LEFT JOIN customer_then c ON c.at = i.at AND c.customer_id = i.customer_id
   ORDER BY i.id;
CREATE UNIQUE INDEX ordering_examples_id ON ordering_examples(id);

-- 4. The order that LambdaMART learns from them; and the chance itself, which money is multiplied with. These first versions do not learn
--    from the lists that judge.
CREATE VIRTUAL TABLE IF NOT EXISTS in_order USING rec_predictor(examples=ordering_examples, label=taken, id=id, group=list, split=part, weight=weight,
  algorithm=boosting, task=ranking, rate=0.05, rounds=120, patience=20, leaves=15, keep=3);
INSERT INTO in_order(in_order, arg) VALUES('train', '{"refit": false, "activate": "never"}');
CREATE VIRTUAL TABLE IF NOT EXISTS will_take USING rec_predictor(examples=ordering_examples, label=taken, id=id, group=list, split=part, weight=weight,
  algorithm=boosting, rate=0.05, rounds=120, patience=20, leaves=15, keep=3);
INSERT INTO will_take(will_take, arg) VALUES('train', '{"refit": false}');

-- 5. What they give on those lists: the model's own order, LambdaMART's, the order by the chance, and by chance times price; each also with
--    at most two products of a family (the first three digits of a code) among the first ten.
CREATE TEMP VIEW judging AS SELECT * FROM ordering_examples WHERE part = 'validation';
CREATE TEMP TABLE judged AS
  WITH learnt AS MATERIALIZED (
    SELECT id, score FROM in_order('temp.judging') WHERE options = (SELECT json_object('version', max(version)) FROM rec_versions WHERE model = 'in_order')),
  chances AS MATERIALIZED (SELECT id, probability FROM will_take('temp.judging')),
  scored AS (
    SELECT e.list, i.stock_code, e.price, e.taken, e.rank AS model, row_number() OVER (PARTITION BY e.list ORDER BY o.score DESC, e.rank) AS learnt,
           row_number() OVER (PARTITION BY e.list ORDER BY w.probability DESC, e.rank) AS chance,
           row_number() OVER (PARTITION BY e.list ORDER BY w.probability * e.price DESC, e.rank) AS money
      FROM learnt o JOIN chances w USING (id) JOIN ordering_examples e USING (id) JOIN impressions i USING (id)),
  orders AS (
    SELECT list, stock_code, price, taken, 'the model' AS "order", model AS place FROM scored UNION ALL
    SELECT list, stock_code, price, taken, 'learnt', learnt FROM scored UNION ALL
    SELECT list, stock_code, price, taken, 'chance', chance FROM scored UNION ALL
    SELECT list, stock_code, price, taken, 'chance x price', money FROM scored)
  SELECT *, row_number() OVER (PARTITION BY "order", list, substr(stock_code, 1, 3) ORDER BY place) AS of_family FROM orders;
.mode box
WITH capped AS (
  SELECT *, 'any' AS family FROM judged UNION ALL
  SELECT list, stock_code, price, taken, "order", row_number() OVER (PARTITION BY "order", list ORDER BY (of_family > 2), place), of_family, 'at most 2' FROM judged),
lists AS (
  SELECT "order", family, list, rec_ndcg(place, taken, 10) AS ndcg, sum(taken) FILTER (WHERE place <= 10) AS taken,
         sum(taken * price) FILTER (WHERE place <= 10) AS pounds, count(DISTINCT substr(stock_code, 1, 3)) FILTER (WHERE place <= 10) AS families
    FROM capped GROUP BY 1, 2, 3)
SELECT "order", family, count(*) AS lists, round(avg(ndcg), 4) AS "ndcg@10", round(avg(taken), 3) AS taken, round(avg(pounds), 2) AS pounds,
       round(avg(families), 1) AS families FROM lists GROUP BY 1, 2 ORDER BY 2, 4 DESC;
.mode list

-- 6. What serves learns from all lists, with as many rounds as were best.
INSERT INTO in_order(in_order, arg) VALUES('train', '{"refit": true}');

-- 7. What a page needs of today's products.
BEGIN;
DROP TABLE IF EXISTS product_now;
CREATE TABLE product_now AS
  SELECT stock_code, buyers, buyers_lately, product_days, 1.0 * buyers_lately / buyers AS trend FROM product_then WHERE at = unixepoch('now', 'start of day');
CREATE UNIQUE INDEX product_now_code ON product_now(stock_code);
COMMIT;
