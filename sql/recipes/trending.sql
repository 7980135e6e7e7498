-- What is trending: bought lately by more customers than it was before. A model of its own, trained in a moment.
.mode box
CREATE VIRTUAL TABLE IF NOT EXISTS trending USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=popular, count=trend, half_life=7, prior=5);
INSERT INTO trending(trending) VALUES('train');
SELECT r.rank AS "#", p.name, round(r.score, 1) AS trend
  FROM trending r JOIN products p ON p.stock_code = r.item WHERE r.basket = '[]' AND r.k = 8 ORDER BY r.rank;
DROP TABLE trending;
