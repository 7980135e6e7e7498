-- What the last tuning of a model tried and found.
--   .parameter set @model recs
--   .read sql/reports/tuning.sql
CREATE TEMP TABLE IF NOT EXISTS report_trials(trial, algorithm, options, metric, k, value, users, seconds, share, note);
DELETE FROM report_trials;
INSERT INTO report_trials SELECT row_number() OVER (ORDER BY trial), algorithm, json_remove(options, '$.algorithm'), metric, k, value, users, seconds, share, note
  FROM rec_trials WHERE model = @model AND tuning = (SELECT max(tuning) FROM rec_trials WHERE model = @model);
.print == Trials
SELECT count(*) AS trials, count(*) - count(value) AS "could not be judged", max(users) AS users, printf('%.1f s', sum(seconds)) AS training,
       (SELECT metric || '@' || k FROM report_trials LIMIT 1) AS objective FROM report_trials;
.print
.print == The best so far, whenever it changed
SELECT trial, printf('%.5f', value) AS value, printf('%.*c', max(1, round(40 * value / top)), '#') AS bar, algorithm, options
  FROM (SELECT *, max(value) OVER (ORDER BY trial ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before, max(value) OVER () AS top FROM report_trials WHERE share = 1 AND value IS NOT NULL)
 WHERE before IS NULL OR value > before ORDER BY trial;
.print
.print == The five best
SELECT trial, printf('%.5f', value) AS value, algorithm, options, printf('%.2f s', seconds) AS training FROM report_trials WHERE share = 1 AND value IS NOT NULL ORDER BY value DESC, trial LIMIT 5;
.print
.print == What decided: a setting has to beat its algorithm as it is by more than chance, on the same users
SELECT trial, algorithm, options, note FROM report_trials WHERE note IS NOT NULL ORDER BY note NOT LIKE 'chosen%', trial;
.print
.print == What each option did: of its values (numbers in three parts of equal size) the mean and the best of their trials
SELECT algorithm, option, iif(low = high, low, low || ' to ' || high) AS value, trials, printf('%.5f', mean) AS mean, printf('%.5f', best) AS best FROM (
  SELECT algorithm, option, iif(kind IN ('integer', 'real'), part, 0) AS part, min(setting) AS low, max(setting) AS high, count(*) AS trials, avg(value) AS mean, max(value) AS best FROM (
    SELECT t.algorithm, o.key AS option, o.value AS setting, o.type AS kind, t.value, ntile(3) OVER (PARTITION BY t.algorithm, o.key ORDER BY o.value) AS part
      FROM report_trials t, json_each(t.options) o WHERE t.value IS NOT NULL AND t.share = (SELECT min(share) FROM report_trials))
   GROUP BY algorithm, option, iif(kind IN ('integer', 'real'), part, setting))
 ORDER BY algorithm, option, low;
DROP TABLE report_trials;
