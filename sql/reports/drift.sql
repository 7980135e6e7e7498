-- Has the shop changed since the model was trained? What came before a time against what came after it. Over a view of yours:
--   CREATE TEMP VIEW report_events AS SELECT customer_id AS user, stock_code AS item, quantity AS amount, bought_at AS at FROM purchases;
--   .parameter set @cut "unixepoch('2011-11-09')"
--   .read sql/reports/drift.sql
CREATE TEMP VIEW IF NOT EXISTS report_drift AS SELECT *, at >= (SELECT value FROM temp.sqlite_parameters WHERE key = '@cut') AS later FROM report_events;
.print == Events before and after
SELECT iif(later, 'after', 'before') AS period, count(*) AS events, count(DISTINCT user) AS users, count(DISTINCT item) AS items, printf('%.2f', avg(amount)) AS "mean amount" FROM report_drift GROUP BY later;
.print
.print == New faces: what the part after has that the part before has not
SELECT printf('%.1f %%', 100.0 * count(*) FILTER (WHERE user NOT IN (SELECT user FROM report_drift WHERE NOT later AND user IS NOT NULL)) / count(*)) AS "events of new users",
       printf('%.1f %%', 100.0 * count(*) FILTER (WHERE item NOT IN (SELECT item FROM report_drift WHERE NOT later AND item IS NOT NULL)) / count(*)) AS "events of new items" FROM report_drift WHERE later;
.print
.print == Shifts: psi below .1 is calm, above .25 a change (rules of thumb)
SELECT 'amount of an event' AS what, printf('%.3f', rec_psi(later, amount)) AS psi, printf('%.3f', rec_ks(later, amount)) AS ks, printf('%.2g', rec_ks_p(later, amount)) AS "ks p" FROM report_drift
UNION ALL SELECT 'events of a user, by her day', printf('%.3f', rec_psi(later, n)), printf('%.3f', rec_ks(later, n)), printf('%.2g', rec_ks_p(later, n)) FROM (SELECT later, count(*) AS n FROM report_drift GROUP BY later, user, at / 86400);
.print What is had: the Jensen-Shannon distance, 0 the same, .83 nothing in common
SELECT printf('%.3f', rec_js(before, after)) AS "js of items" FROM (SELECT count(*) FILTER (WHERE NOT later) AS before, count(*) FILTER (WHERE later) AS after FROM report_drift GROUP BY item);
.print
.print == What has gained and lost most, in shares of all events
SELECT * FROM (SELECT item, printf('%.2f %%', 100 * before) AS before, printf('%.2f %%', 100 * after) AS after, printf('%+.2f', 100 * (after - before)) AS points FROM (
  SELECT item, 1.0 * count(*) FILTER (WHERE NOT later) / (SELECT count(*) FROM report_drift WHERE NOT later) AS before, 1.0 * count(*) FILTER (WHERE later) / (SELECT count(*) FROM report_drift WHERE later) AS after FROM report_drift GROUP BY item)
 ORDER BY abs(after - before) DESC, item LIMIT 10);
DROP VIEW report_drift;
