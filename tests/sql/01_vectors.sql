-- vector functions: values, NULL, errors
SELECT rec_version() GLOB '[0-9]*.[0-9]*.[0-9]*';
SELECT rec_vec_json(rec_vec('[1, 2.5, -3]')), rec_vec_dim('[1,2,3]'), hex(rec_vec('[1]'));
SELECT rec_dot('[1,2,3]', '[4,5,6]'), rec_cosine('[1,0]', '[1,1]') = 1/sqrt(2), rec_l2('[0,0]', '[3,4]'), rec_l1('[0,0]', '[3,-4]');
SELECT rec_vec_norm('[3,4]'), rec_vec_json(rec_vec_normalize('[3,4]')), rec_vec_json(rec_vec_add('[1,2]', '[3,4]'));
SELECT rec_vec_json(rec_vec_sub('[1,2]', '[3,4]')), rec_vec_json(rec_vec_scale('[1,2]', 2.5)), rec_vec_json(rec_vec_slice('[1,2,3,4]', 1, 3));
SELECT rec_dot(NULL, '[1]') IS NULL, rec_vec_add('[1]', NULL) IS NULL, rec_vec(NULL) IS NULL, rec_cosine('[0,0]', '[1,1]');
SELECT rec_dot('[1,2]', '[1,2,3]');
SELECT rec_dot('[1,2]', 'hello');
SELECT rec_vec('[1,"x"]');
SELECT rec_vec(x'0000');
SELECT rec_vec(x'0000c07f');
SELECT rec_vec('[]');
SELECT rec_vec(17);
SELECT rec_vec_slice('[1,2,3]', 2, 2);
SELECT rec_vec_scale('[1,2]', 'x');
SELECT rec_vec_scale('[3e38]', 10);
-- aggregates and windows
CREATE TABLE v(id INTEGER PRIMARY KEY, user, vec, w);
INSERT INTO v(user, vec, w) VALUES('a', '[1,0]', 1), ('a', '[0,1]', 3), ('b', '[2,2]', 1), ('b', NULL, 5), ('b', '[4,0]', NULL);
SELECT user, rec_vec_json(rec_vec_sum(vec)), rec_vec_json(rec_vec_avg(vec)), rec_vec_json(rec_vec_avg(vec, w)) FROM v GROUP BY user;
SELECT id, rec_vec_json(rec_vec_sum(vec) OVER (ORDER BY id ROWS 1 PRECEDING)) FROM v WHERE vec IS NOT NULL;
SELECT rec_vec_sum(vec) IS NULL, rec_vec_avg(vec) IS NULL FROM v WHERE 0;
SELECT rec_vec_sum(x) FROM (SELECT '[1]' AS x UNION ALL SELECT '[1,2]');
-- pure functions are allowed in triggers and indexes
CREATE INDEX v_norm ON v(rec_vec_norm(vec));
