-- Goes with this cart, for somebody without an account; and more like this product.
.mode box
SELECT r.rank AS "#", p.name AS "goes with a white heart holder and a white lantern", printf('%.2f', p.price) AS price
  FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.basket = '["85123A", "71053"]' AND r.k = 5 ORDER BY r.rank;
SELECT r.rank AS "#", p.name AS "more like REGENCY CAKESTAND 3 TIER"
  FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.similar_to = '22423' AND r.k = 5 ORDER BY r.rank;
