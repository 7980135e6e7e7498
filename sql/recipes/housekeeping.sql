-- What is there: versions with their age, size and what they were trained on, and how a model finds a history.
.mode box
SELECT v.model, v.version, iif(v.active, 'live', '') AS live, v.algorithm, v.events, v.items, round(v.bytes / 1e6, 1) AS MB,
       round(v.trained_seconds, 1) AS seconds, m.history
  FROM rec_versions v JOIN rec_models m USING (model) ORDER BY v.model, v.version;
SELECT json_group_object(key, value) AS "this process" FROM rec_info WHERE key IN ('version', 'simd', 'cache_entries');
