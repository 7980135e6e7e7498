-- Is another model better? Both are trained on what came before the last month and judged on what the same customers bought new
-- in it: the difference with its interval, and p of a paired t test.
.mode box
CREATE VIRTUAL TABLE IF NOT EXISTS old_one USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=item_knn);
INSERT INTO old_one(old_one, arg) VALUES('train', '{"until": "2011-11-09"}');
INSERT INTO old_one(old_one, arg) VALUES('train', '{"until": "2011-11-09", "algorithm": "slim", "activate": "never"}');
CREATE VIEW IF NOT EXISTS held AS
  SELECT customer_id, stock_code FROM purchases WHERE bought_at >= 1320796800 GROUP BY 1, 2 HAVING sum(quantity) > 0
  EXCEPT
  SELECT customer_id, stock_code FROM purchases WHERE bought_at < 1320796800 GROUP BY 1, 2 HAVING sum(quantity) > 0;
SELECT metric, round(a, 4) AS item_knn, round(b, 4) AS slim, round(difference, 4) AS difference, round(p, 3) AS p, users
  FROM rec_compare('old_one', 'old_one', 'held', '{"version": 1, "version_b": 2}') WHERE metric IN ('ndcg', 'recall', 'hit');
DROP TABLE old_one;
