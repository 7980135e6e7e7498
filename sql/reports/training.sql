-- How the training of a model's latest version went: the objective after each sweep, for those algorithms that sweep.
--   .parameter set @model recs
--   .read sql/reports/training.sql
.print == Objective by sweep: the bar is what is left above the last value
SELECT version, sweep, printf('%.6g', objective) AS objective, printf('%.2f s', seconds) AS seconds,
       iif(first > last, printf('%.*c', max(1, round(40 * (objective - last) / (first - last))), '#'), '') AS bar
  FROM (SELECT *, first_value(objective) OVER w AS first, last_value(objective) OVER w AS last FROM rec_training_log WHERE model = @model AND version = (SELECT max(version) FROM rec_training_log WHERE model = @model)
        WINDOW w AS (PARTITION BY version ORDER BY sweep ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
 ORDER BY version, sweep;
