-- How good is a model, beside the popular list, with 95 % intervals?
--   .parameter set @model recs
--   .parameter set @holdout bought_later          a table or view: docs/reference/metrics.md, "rec_evaluate"
--   .parameter set @options {"k": 10}              optional, without blanks
--   .read sql/reports/evaluation.sql
CREATE TEMP TABLE IF NOT EXISTS report_evaluation(model, metric, k, value, ci_low, ci_high, users, segment);
DELETE FROM report_evaluation;
INSERT INTO report_evaluation SELECT * FROM rec_evaluate(@model, @holdout, coalesce(@options, '{"k": 10}'));
.print == Accuracy: the bar ends somewhere in the dots, the 95 % interval
SELECT m.metric || '@' || m.k AS metric, printf('%.4f', m.value) AS value, printf('%.4f to %.4f', m.ci_low, m.ci_high) AS "95 %",
       printf('%.4f', p.value) AS popular, iif(p.value > 0, printf('%.1f x', m.value / p.value), '') AS times,
       printf('%.*c', max(1, round(40 * m.ci_low / t.top)), '#') || printf('%.*c', max(1, round(40 * (m.ci_high - m.ci_low) / t.top)), '.') AS bar
  FROM report_evaluation m JOIN report_evaluation p ON p.model = 'popular' AND p.metric = m.metric AND p.k = m.k AND p.segment IS NULL,
       (SELECT max(ci_high) AS top FROM report_evaluation WHERE metric IN ('precision', 'recall', 'hit', 'rr', 'ap', 'ndcg')) t
 WHERE m.model <> 'popular' AND m.segment IS NULL AND m.metric IN ('precision', 'recall', 'hit', 'rr', 'ap', 'ndcg') AND t.top > 0;
.print
.print == Beyond accuracy
SELECT m.metric || '@' || m.k AS metric, printf('%.4f', m.value) AS value, printf('%.4f', p.value) AS popular,
       CASE m.metric WHEN 'serendipity' THEN 'share of the list that was wanted and is not popular' WHEN 'popularity_lift' THEN 'above 0: the lists are more popular than the histories'
                     WHEN 'coverage' THEN 'share of the catalogue that anybody is shown' WHEN 'gini' THEN '0: all items alike, 1: always the same'
                     WHEN 'novelty' THEN 'bits: the more the rarer' WHEN 'personalization' THEN '0: the same list for everybody' END AS meaning
  FROM report_evaluation m LEFT JOIN report_evaluation p ON p.model = 'popular' AND p.metric = m.metric AND p.k = m.k AND p.segment IS NULL
 WHERE m.model <> 'popular' AND m.segment IS NULL AND m.metric IN ('serendipity', 'popularity_lift', 'coverage', 'gini', 'novelty', 'personalization');
.print
.print == By segment ("by" in @options): ndcg
SELECT segment, users, printf('%.4f', value) AS ndcg, printf('%.4f to %.4f', ci_low, ci_high) AS "95 %"
  FROM report_evaluation WHERE segment IS NOT NULL AND metric = 'ndcg' AND model <> 'popular' ORDER BY users DESC, segment;
DROP TABLE report_evaluation;
