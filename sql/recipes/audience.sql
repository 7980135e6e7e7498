-- Who would want this product? The customers who do not have it and on whose list it stands highest.
.mode box
SELECT r.user AS customer, c.country, r.rank AS "place in her list", round(r.score / max(r.score) OVER (), 2) AS strength
  FROM recs r JOIN customers c ON c.customer_id = r.user
 WHERE r.k = 20 AND r.item = '22423' ORDER BY r.score DESC, r.user LIMIT 8;
