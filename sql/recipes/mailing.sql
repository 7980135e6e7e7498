-- A mailing: everybody's list in one pass, on all cores, as a table; the header names two of them.
.mode box --wrap 80 --wordwrap on
CREATE TEMP TABLE mailing AS SELECT user AS customer_id, rank, item AS stock_code FROM recs WHERE k = 3;
SELECT count(DISTINCT customer_id) AS customers, count(*) AS lines FROM mailing;
SELECT m.customer_id, group_concat(p.name, ', ') AS offer
  FROM mailing m JOIN products p USING (stock_code) WHERE m.customer_id IN (12388, 12347) GROUP BY m.customer_id;
DROP TABLE mailing;
