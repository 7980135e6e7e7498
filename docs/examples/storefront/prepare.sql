-- Makes a storefront of the sample shop (a file that sql/shop.sql has made): the shop's last day becomes today, models are trained, an
-- experiment begins, and products can be searched. Run once:   sqlite3 -cmd '.load recommend' storefront.db <prepare.sql
.bail on
PRAGMA journal_mode = WAL;

BEGIN;
UPDATE events SET bought_at = bought_at + (unixepoch() / 86400 - (SELECT max(bought_at) FROM events) / 86400 - 1) * 86400;
UPDATE orders SET placed_at = placed_at + (unixepoch() / 86400 - (SELECT max(placed_at) FROM orders) / 86400 - 1) * 86400;

-- What is on sale: what has a name and a price and was bought in the last half year.
CREATE TABLE catalogue(
  id INTEGER PRIMARY KEY,            -- FTS5 and rec_index count in integers
  stock_code TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  price REAL NOT NULL
);
INSERT INTO catalogue(stock_code, name, price)
  SELECT stock_code, name, price FROM products
   WHERE name IS NOT NULL AND price > 0
     AND stock_code IN (SELECT stock_code FROM purchases WHERE quantity > 0 AND bought_at > unixepoch() - 183 * 86400)
   ORDER BY stock_code;

-- The site's own traces. A visitor is a cookie; with a customer number once she has signed in.
CREATE TABLE clicks(visitor TEXT NOT NULL, customer_id INTEGER, stock_code TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX clicks_by_customer ON clicks(customer_id, at) WHERE customer_id IS NOT NULL;
COMMIT;

-- For you, in three ways: neighbours live, slim for three customers in ten, and for three others the neighbours' list in the order that
-- ordering.sql learns. Kept apart by the experiment's own log.
CREATE VIRTUAL TABLE recs USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, keep=5);
INSERT INTO recs(recs, arg, options) VALUES('train', '{}', '{"author": "prepare.sql", "note": "neighbours"}');
INSERT INTO recs(recs, arg, options) VALUES('train', '{"algorithm": "slim", "activate": "never"}', '{"author": "prepare.sql", "note": "sparse linear"}');
INSERT INTO recs(recs, arg, options) VALUES('experiment',
  '{"name": "shelf", "arms": {"neighbours": 1, "slim": 2, "ordered": 1}, "shares": [0.4, 0.3, 0.3], "metric": "ctr", "guards": ["revenue"]}',
  '{"author": "prepare.sql", "note": "does slim get more clicks, does the learnt order?"}');

-- More like this: by what products are called.
CREATE VIRTUAL TABLE alike USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at,
  items=catalogue, item_key=stock_code, item_text=name, algorithm=content);
INSERT INTO alike(alike) VALUES('train');

-- Trending: bought lately by more customers than before.
CREATE VIRTUAL TABLE trending USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=popular, count=trend, half_life=7, prior=5);
INSERT INTO trending(trending) VALUES('train');

-- Search: words, and products that are bought alike.
CREATE VIRTUAL TABLE words USING fts5(name, content=catalogue, content_rowid=id, tokenize=porter, prefix='2 3');
INSERT INTO words(words) VALUES('rebuild');
CREATE VIRTUAL TABLE taste USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=ials, factors=64);
INSERT INTO taste(taste) VALUES('train');
CREATE VIRTUAL TABLE things USING rec_index(embedding float[64], metric=cosine);
INSERT INTO things(rowid, embedding)
  SELECT c.id, v.vector FROM rec_item_vectors('taste') v JOIN catalogue c ON c.stock_code = v.item;

ANALYZE;
SELECT printf('storefront: %d products, %d customers', (SELECT count(*) FROM catalogue), (SELECT count(*) FROM customers));
