-- Which products are of a kind, by who buys them: vectors of a model, and the nearest of a few.
.mode box
CREATE VIRTUAL TABLE IF NOT EXISTS taste USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=ials, factors=32);
INSERT INTO taste(taste) VALUES('train');
CREATE TEMP TABLE vectors AS SELECT item, vector FROM rec_item_vectors('taste');
WITH seed(item) AS (VALUES('22423'), ('20725'), ('22086'))
SELECT s.name AS "of a kind with", group_concat(n.name, char(10)) AS products
  FROM seed JOIN products s ON s.stock_code = seed.item
  JOIN (SELECT a.item AS near_to, b.item, row_number() OVER (PARTITION BY a.item ORDER BY rec_cosine(a.vector, b.vector) DESC) AS nth
          FROM vectors a JOIN vectors b ON b.item <> a.item WHERE a.item IN (SELECT item FROM seed)) v ON v.near_to = seed.item AND v.nth <= 4
  JOIN products n ON n.stock_code = v.item
 GROUP BY s.name;
DROP TABLE taste;
