-- More variety: beside the plain list, one whose items are unlike each other, and one with fewer bestsellers.
.mode box
WITH list(kind, options) AS (VALUES('plain', '{}'), ('diverse', '{"diversity": 0.4}'), ('fewer bestsellers', '{"popularity_penalty": 0.7}'))
SELECT l.kind, group_concat(p.name, char(10)) AS list
  FROM list l JOIN recs r ON r.user = 12388 AND r.k = 4 AND r.options = l.options JOIN products p ON p.stock_code = r.item
 GROUP BY l.kind ORDER BY l.kind = 'plain' DESC, l.kind;
