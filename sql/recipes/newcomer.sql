-- Somebody new: without a history she gets what most customers have; her first purchase counts at the next query.
.mode box
SELECT 'before' AS "when", p.name FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.user = 99001 AND r.k = 3 ORDER BY r.rank;
SAVEPOINT visit;
INSERT INTO events(invoice, customer_id, stock_code, quantity, price, bought_at) VALUES('N1', 99001, '22423', 1, 12.75, unixepoch('2011-12-09'));
SELECT 'after a cakestand' AS "when", p.name FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.user = 99001 AND r.k = 3 ORDER BY r.rank;
ROLLBACK TO visit;
RELEASE visit;
