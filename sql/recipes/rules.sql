-- Rules are SQL, and act before the best five are chosen, so that five come back: a price range, what is sold at present, and
-- nothing that she bought in the month before the shop's last day.
.mode box
SELECT r.rank AS "#", p.name, printf('%.2f', p.price) AS price
  FROM recs r JOIN products p ON p.stock_code = r.item
 WHERE r.user = 12388 AND r.k = 5
   AND r.item IN (SELECT stock_code FROM products WHERE price BETWEEN 2 AND 5
                  INTERSECT
                  SELECT stock_code FROM events WHERE quantity > 0 AND bought_at > unixepoch('2011-12-09', '-30 days')
                  EXCEPT
                  SELECT stock_code FROM purchases WHERE customer_id = 12388 AND bought_at > unixepoch('2011-12-09', '-30 days'))
 ORDER BY r.rank;
