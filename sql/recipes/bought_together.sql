-- Bought together, over all customers: how many have both, how likely the second is given the first (confidence), how many times
-- more likely than by chance (lift).
.mode box
SELECT a.name AS "who has", b.name AS "has", r.users, round(r.confidence, 2) AS confidence, round(r.lift, 1) AS lift
  FROM rec_rules('recs', 0.5) r JOIN products a ON a.stock_code = r.item JOIN products b ON b.stock_code = r.then_item
 WHERE r.users >= 100 AND r.item < r.then_item ORDER BY r.lift DESC LIMIT 8;
