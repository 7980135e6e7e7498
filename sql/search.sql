-- One search box: words, behaviour and taste in one ranked list. Run on a shop that sql/shop.sql has made:
--   sqlite3 shop.db   then   .load build/recommend   and   .read sql/search.sql
--
-- Three lists are fused by reciprocal ranks (rec_rrf: the sum of 1 / (60 + rank)), so that their scores need no common scale:
--   words  FTS5's bm25 over the products' names
--   near   products whose vectors are near the mean of the five best word hits: what is bought like them
--   taste  everything found so far in this customer's order, by her history
CREATE TABLE IF NOT EXISTS numbered(id INTEGER PRIMARY KEY, stock_code TEXT UNIQUE, name TEXT); -- FTS5 and rec_index count in integers
INSERT OR IGNORE INTO numbered(stock_code, name) SELECT stock_code, name FROM products WHERE name IS NOT NULL ORDER BY stock_code;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(name, content=numbered, content_rowid=id, tokenize=porter);
INSERT INTO words(words) VALUES('rebuild');

CREATE VIRTUAL TABLE IF NOT EXISTS recs USING rec_model(
  events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=ials, factors=64);
INSERT INTO recs(recs) VALUES('train');
CREATE VIRTUAL TABLE IF NOT EXISTS things USING rec_index(embedding float[64], metric=cosine);
DELETE FROM things;
INSERT INTO things(rowid, embedding)
  SELECT n.id, v.vector FROM rec_item_vectors('recs') v JOIN numbered n ON n.stock_code = v.item;

-- The search: :query is FTS5's language, :customer an id of purchases. A guest: leave taste out.
CREATE TEMP TABLE IF NOT EXISTS asked(query TEXT, customer INTEGER);
DELETE FROM asked;
INSERT INTO asked VALUES('heart lantern', 12388);

WITH found_words AS MATERIALIZED (
  SELECT rowid AS id, row_number() OVER (ORDER BY rank, rowid) AS place
    FROM words WHERE words MATCH (SELECT query FROM asked) ORDER BY rank, rowid LIMIT 100),
found_near AS MATERIALIZED (
  SELECT rowid AS id, rank AS place FROM things
   WHERE k = 50 AND embedding MATCH (SELECT rec_vec_avg(t.embedding) FROM found_words w JOIN things t ON t.rowid = w.id WHERE w.place <= 5)),
found_taste AS (
  SELECT n.id, r.rank AS place FROM recs r JOIN numbered n ON n.stock_code = r.item
   WHERE r.user = (SELECT customer FROM asked) AND r.options = '{"exclude_seen": false}'
     AND r.candidates = (SELECT json_group_array(stock_code) FROM numbered WHERE id IN (SELECT id FROM found_words UNION SELECT id FROM found_near))),
lists AS (SELECT * FROM found_words UNION ALL SELECT * FROM found_near UNION ALL SELECT * FROM found_taste)
SELECT n.stock_code, n.name, round(rec_rrf(place), 4) AS score
  FROM lists JOIN numbered n USING (id)
 GROUP BY id ORDER BY rec_rrf(place) DESC, id LIMIT 8;
