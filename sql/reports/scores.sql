-- How well do scores tell labels apart, and can they be taken for probabilities? Over a view of yours:
--   CREATE TEMP VIEW report_scores AS SELECT bought AS label, p AS score FROM predictions;     label 0 or 1, score 0 to 1
--   .read sql/reports/scores.sql
.print == Scores
SELECT count(*) AS rows, sum(label) AS positives, printf('%.4f', rec_auc(label, score)) AS auc, printf('%.4f', rec_pr_auc(label, score)) AS "pr auc",
       printf('%.4f', rec_logloss(label, score)) AS "log loss", printf('%.4f', rec_brier(label, score)) AS brier, printf('%.4f', rec_ece(label, score)) AS ece FROM report_scores;
.print
.print == ROC curve, at false positive rates of 0, .05, ...: the diagonal is chance
SELECT printf('%.2f', at) AS fpr, printf('%.3f', tpr) AS tpr, rtrim(substr(line, 1, round(40 * at)) || '|' || substr(line, round(40 * at) + 2)) AS curve
  FROM (SELECT at, tpr, printf('%.*c', round(40 * tpr), '#') || printf('%41c', ' ') AS line FROM (
        WITH RECURSIVE steps(at) AS (SELECT 0.0 UNION ALL SELECT at + .05 FROM steps WHERE at < .99),
          curve AS MATERIALIZED (SELECT fpr, tpr FROM rec_roc_curve((SELECT rec_scored(label, score) FROM report_scores)))
        SELECT at, (SELECT max(tpr) FROM curve WHERE fpr <= at + 1e-9) AS tpr FROM steps));
.print
.print == Calibration: of the rows of a bin the mean score, and how many are positive
SELECT printf('%.1f to %.1f', low, high) AS scores, n, printf('%.3f', mean_score) AS "mean score", printf('%.3f', mean_label) AS positive, printf('%+.3f', mean_label - mean_score) AS gap,
       printf('%.*c', max(1, round(40 * mean_label)), '#') AS bar
  FROM rec_calibration_curve((SELECT rec_scored(label, score) FROM report_scores));
