-- What models there are, which version each serves, and how it came to serve.
--   .load build/recommend   then   .read sql/reports/models.sql
.print == Models
SELECT m.model, m.algorithm, m.active, m.versions, v.events, v.users, v.items,
       printf('%.1f MB', v.bytes / 1e6) AS size, printf('%.1f s', v.trained_seconds) AS trained, m.history
  FROM rec_models m LEFT JOIN rec_versions v ON v.model = m.model AND v.version = m.active ORDER BY m.model;
.print
.print == Versions, with what differs from the one before
SELECT v.model, v.version, iif(v.active, '<- serves', '') AS active, v.algorithm,
       (SELECT group_concat(o.key || '=' || o.value, ', ')
          FROM json_each(v.options) o LEFT JOIN json_each(b.options) p ON p.key = o.key
         WHERE o.value IS NOT p.value) AS options,
       v.until
  FROM rec_versions v LEFT JOIN rec_versions b ON b.model = v.model AND b.algorithm = v.algorithm
       AND b.version = (SELECT max(version) FROM rec_versions w WHERE w.model = v.model AND w.algorithm = v.algorithm AND w.version < v.version)
 ORDER BY v.model, v.version;
.print
.print == Deployments, the latest first
SELECT model, deployment, version, action FROM rec_deployments ORDER BY model, deployment DESC;
