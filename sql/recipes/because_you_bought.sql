-- "Because you bought ...": three shelves, each from one of her latest purchases, nothing twice and nothing she has.
.mode box
WITH latest AS (
  SELECT stock_code, max(bought_at) AS at FROM purchases WHERE customer_id = 12388
   GROUP BY stock_code HAVING sum(quantity) > 0 ORDER BY at DESC, stock_code LIMIT 3),
shelf AS (
  SELECT l.stock_code, l.at, r.item, r.score, row_number() OVER (PARTITION BY r.item ORDER BY r.score DESC) AS nth
    FROM latest l JOIN recs r ON r.similar_to = l.stock_code AND r.k = 8
   WHERE r.item NOT IN (SELECT stock_code FROM purchases WHERE customer_id = 12388))
SELECT (SELECT name FROM products WHERE stock_code = s.stock_code) AS "because you bought", p.name AS "look at"
  FROM shelf s JOIN products p ON p.stock_code = s.item
 WHERE s.nth = 1 ORDER BY s.at DESC, s.stock_code, s.score DESC LIMIT 9;
