-- Is model b better than model a, by how much, and is it real?
--   .parameter set @a recs
--   .parameter set @b recs2
--   .parameter set @holdout bought_later
--   .parameter set @options {"k": 10}              optional, without blanks; two versions of one model: {"version": 3,"version_b": 4}
--   .read sql/reports/comparison.sql
.print == b against a, user by user: the interval of the difference leaves 0 out where it is real
SELECT metric || '@' || k AS metric, printf('%.4f', a) AS a, printf('%.4f', b) AS b, printf('%+.4f', difference) AS difference,
       printf('%+.4f to %+.4f', ci_low, ci_high) AS "95 %", printf('%.4f', p) AS p, users,
       CASE WHEN ci_low > 0 THEN 'b is higher' WHEN ci_high < 0 THEN 'a is higher' ELSE 'no difference seen' END AS verdict
  FROM rec_compare(@a, @b, @holdout, coalesce(@options, '{"k": 10}'));
