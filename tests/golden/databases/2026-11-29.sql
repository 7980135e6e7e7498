CREATE TABLE events(customer INTEGER, product TEXT, qty INTEGER, at INTEGER, day INTEGER);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 599)
INSERT INTO events SELECT (i * 7) % 40, 'p' || ((i * i + i / 7) % 30), 1 + i % 3, 1700000000 + i * 3600, i / 60 FROM n;
CREATE TABLE products(code TEXT PRIMARY KEY, name TEXT, kind TEXT);
INSERT INTO products SELECT DISTINCT product, 'thing ' || product, CASE WHEN product < 'p2' THEN 'a' ELSE 'b' END FROM events;
CREATE VIRTUAL TABLE recs USING rec_model(events=events, user=customer, item=product, weight=qty, time=at, items=products, item_key=code, item_category=kind, keep=3);
INSERT INTO recs(recs) VALUES('train');
INSERT INTO recs(recs, arg) VALUES('train', '{"algorithm":"ials","factors":4,"sweeps":3}');
INSERT INTO recs(recs, arg) VALUES('tune', '{"algorithm":"item_knn","trials":3,"activate":"always"}');
INSERT INTO recs(recs, arg) VALUES('activate', 1);
CREATE VIRTUAL TABLE near USING rec_index(embedding float[4], price real, kind text, code text primary key, metric=l2, index=HNSW8);
INSERT INTO near(rowid, embedding, price, kind, code) SELECT rowid, '[' || (rowid % 7) || ',' || (rowid % 5) || ',' || (rowid % 3) || ',1]', rowid * 1.5, kind, code FROM products;
INSERT INTO near(near) VALUES('optimize');
UPDATE near SET price = 1 WHERE rowid = 3;
DELETE FROM near WHERE rowid = 5;
CREATE TABLE own(id INTEGER PRIMARY KEY, v BLOB, n INTEGER);
CREATE VIRTUAL TABLE of_own USING rec_index(v float[2], n integer, metric=cosine, content=own, content_rowid=id, storage=f32);
INSERT INTO own SELECT rowid, rec_vec('[' || rowid || ',1]'), rowid FROM products;
