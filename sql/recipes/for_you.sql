-- A customer's list, with prices and the reason, as a page or the prompt would show it.
.mode box
SELECT r.rank AS "#", p.name, printf('%.2f', p.price) AS price, b.name AS "because of"
  FROM recs r JOIN products p ON p.stock_code = r.item
  LEFT JOIN products b ON b.stock_code = r.because ->> '$.items[0].item'
 WHERE r.user = 12388 AND r.k = 5 ORDER BY r.rank;
