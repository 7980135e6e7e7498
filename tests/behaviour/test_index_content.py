"""content=: an index over an ordinary table that any program may write to, also one without the extension.

Writes, vectors, filters; names, schemas and damage are in test_index_content_schema.py."""
import json, math, random, sqlite3, subprocess

import numpy

from support import EXTENSION, equal, one, refused, rows, vector

from content_support import *


# ---------------------------------------------------------------------------------------- writes without the extension

WRITES = (
    ("insert", "INSERT INTO products(product_id, embedding, price, category) VALUES(100, ?, 50, 'a')", stored([0, 0, 0, 0])),
    ("insert without an id", "INSERT INTO products(embedding, price) VALUES(?, 50)", stored([0, 0, 0, 0])),
    ("a negative id", "INSERT INTO products(product_id, embedding) VALUES(-7, ?)", stored([0, 0, 0, 0])),
    ("the largest id", "INSERT INTO products(product_id, embedding) VALUES(9223372036854775807, ?)", stored([0, 0, 0, 0])),
    ("insert from a select", "INSERT INTO products(product_id, embedding, price, category) SELECT product_id + 1000, embedding, price + 1, category FROM products", ()),
    ("insert a text", "INSERT INTO products(product_id, embedding) VALUES(100, '[0, 0, 1e-3, 0.25]')", ()),
    ("insert no vector", "INSERT INTO products(product_id, embedding, price) VALUES(100, NULL, 50)", ()),
    ("update a vector", "UPDATE products SET embedding = ? WHERE product_id = 5", stored([0, 0, 0, 0])),
    ("update all vectors", "UPDATE products SET embedding = (SELECT embedding FROM products p WHERE p.product_id = 61 - products.product_id)", ()),
    ("a vector becomes a text", "UPDATE products SET embedding = '[0,0,0,0]' WHERE product_id = 5", ()),
    ("a vector becomes NULL", "UPDATE products SET embedding = NULL WHERE product_id < 20", ()),
    ("a vector stays as it is", "UPDATE products SET embedding = embedding", ()),
    ("update metadata", "UPDATE products SET price = 61 - price, category = CASE category WHEN 'a' THEN 'b' ELSE 'a' END", ()),
    ("update metadata to NULL", "UPDATE products SET category = NULL WHERE product_id % 3 = 0", ()),
    ("update a column that the index does not have", "UPDATE products SET note = 'x', sku = 't' || sku", ()),
    ("update the id", "UPDATE products SET product_id = 500 WHERE product_id = 5", ()),
    ("update the id by another name", "UPDATE products SET rowid = 500 WHERE product_id = 5", ()),
    ("update the id by yet another name", "UPDATE products SET _ROWID_ = 500, price = 3 WHERE oid = 5", ()),
    ("update every id", "UPDATE products SET product_id = product_id + 1000", ()),
    ("update the id and the vector", "UPDATE products SET product_id = 500, embedding = ? WHERE product_id = 5", stored([0, 0, 0, 0])),
    ("update from another table", "UPDATE products SET embedding = v FROM (SELECT 5 AS id, '[1,1,1,1]' AS v) WHERE product_id = id", ()),
    ("delete", "DELETE FROM products WHERE product_id = 5", ()),
    ("delete many", "DELETE FROM products WHERE product_id % 3 > 0", ()),
    ("delete all", "DELETE FROM products", ()),
    ("replace by the id", "INSERT OR REPLACE INTO products(product_id, sku, embedding) VALUES(5, 's5', ?)", stored([0, 0, 0, 0])),
    ("replace through the other key", "INSERT OR REPLACE INTO products(product_id, sku, embedding) VALUES(100, 's5', ?)", stored([0, 0, 0, 0])),
    ("replace through the other key, no vector", "INSERT OR REPLACE INTO products(product_id, sku) VALUES(100, 's5')", ()),
    ("replace through both keys", "INSERT OR REPLACE INTO products(product_id, sku, embedding) VALUES(6, 's5', ?)", stored([0, 0, 0, 0])),
    ("replace many through the other key", "INSERT OR REPLACE INTO products(product_id, sku, embedding) SELECT product_id + 1000, sku, embedding FROM products", ()),
    ("update or replace", "UPDATE OR REPLACE products SET sku = 's7' WHERE product_id = 5", ()),
    ("update or replace the id", "UPDATE OR REPLACE products SET product_id = 7 WHERE product_id = 5", ()),
    ("insert or ignore", "INSERT OR IGNORE INTO products(product_id, sku, embedding) VALUES(5, 'new', ?)", stored([0, 0, 0, 0])),
    ("upsert", "INSERT INTO products(sku, embedding) VALUES('s5', ?) ON CONFLICT(sku) DO UPDATE SET embedding = excluded.embedding", stored([0, 0, 0, 0])),
)


def test_every_kind_of_write_without_the_extension_is_followed(shop):
    for write, (what, sql, arguments) in enumerate(WRITES):
        for number, more in enumerate(ENGINES):
            name = f"{write}-{number}.db"
            db = make(shop, more=more, name=name)
            if more:
                db.execute("INSERT INTO looks(looks) VALUES('optimize')")
            if number < 2:
                follows(db, f"{what}: before")  # a loaded copy; the last engine loads after the write
            writer = plain(shop, name)
            writer.execute(sql, arguments)
            writer.close()
            follows(db, f"{what}{more}")
            db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")
            follows(shop.connect(name), f"{what}{more}: a new connection")
            db.execute("INSERT INTO looks(looks) VALUES('optimize')")
            follows(db, f"{what}{more}: after optimize")
            db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")
            db.close()


def test_every_kind_of_write_is_taken_back_with_its_transaction(shop):
    for write, (what, sql, arguments) in enumerate(WRITES):
        db = make(shop, name=f"{write}.db", more=", index=HNSW32")
        db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        query = vector(0, 0, 0, 0)
        before = rows(db, "SELECT rowid, distance FROM looks(?, 100)", query)
        writer = plain(shop, f"{write}.db")
        writer.execute("BEGIN"); writer.execute(sql, arguments); writer.execute("ROLLBACK")
        equal(rows(db, "SELECT rowid, distance FROM looks(?, 100)", query), before, f"{what}: rolled back by the other program")
        db.execute("BEGIN")
        db.execute("SAVEPOINT s")
        db.execute(sql, arguments)
        follows(db, f"{what}: inside the transaction")
        db.execute("ROLLBACK TO s")
        follows(db, f"{what}: after the savepoint's rollback")
        equal(rows(db, "SELECT rowid, distance FROM looks(?, 100)", query), before, f"{what}: a savepoint's rollback")
        db.execute(sql, arguments)
        db.execute("ROLLBACK")
        equal(rows(db, "SELECT rowid, distance FROM looks(?, 100)", query), before, f"{what}: a rollback")
        db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")
        writer.execute("BEGIN"); writer.execute("SAVEPOINT s"); writer.execute("DELETE FROM products WHERE product_id = 9"); writer.execute("ROLLBACK TO s"); writer.execute(sql, arguments); writer.execute("COMMIT")
        follows(db, f"{what}: committed after a savepoint's rollback")
        db.close(); writer.close()


def test_random_writes_by_both_kinds_of_program(shop):
    for number, more in enumerate(ENGINES):
        db = make(shop, more=more, name=f"random{number}.db")
        writers = [db, plain(shop, f"random{number}.db"), shop.connect(f"random{number}.db")]
        draw = random.Random(number)
        if more:
            db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        for step in range(240):
            writer, id, other, v = writers[step % 3], draw.randrange(1, 90), draw.randrange(1, 90), draw_blob(draw)
            sql, arguments = draw.choice((
                ("INSERT OR REPLACE INTO products(product_id, sku, embedding, price, category) VALUES(?, ?, ?, ?, 'a')", (id, f"s{other}", v, other)),
                ("INSERT OR IGNORE INTO products(product_id, sku, embedding, price, category) VALUES(?, ?, ?, ?, 'b')", (id, f"s{other}", v, other)),
                ("UPDATE products SET embedding = ? WHERE product_id = ?", (v, id)), ("UPDATE products SET embedding = NULL WHERE product_id = ?", (id,)),
                ("UPDATE OR IGNORE products SET product_id = ? WHERE product_id = ?", (other, id)), ("UPDATE OR REPLACE products SET sku = ? WHERE product_id = ?", (f"s{other}", id)),
                ("UPDATE products SET price = ?, category = NULL WHERE product_id = ?", (other, id)), ("DELETE FROM products WHERE product_id = ?", (id,))))
            undone = draw.random() < 0.2
            if undone:
                writer.execute("BEGIN")
            writer.execute(sql, arguments)
            if undone:
                if step % 2 and writer is not writers[1]:
                    follows(writer, f"step {step}{more}, inside")
                writer.execute("ROLLBACK")
            if step % 5 == 0:
                follows(writers[step % 2 * 2], f"step {step}{more}: {sql}")
            if step == 120:
                db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")
        follows(db)


def test_a_commit_is_seen_by_the_others_when_their_snapshot_ends(shop):
    db = make(shop)
    db.execute("PRAGMA journal_mode=WAL")
    follows(db)
    writer = plain(shop)
    db.execute("BEGIN")
    before = rows(db, "SELECT rowid FROM looks('[0,0,0,0]', 5)")
    writer.execute("BEGIN")
    writer.execute("INSERT INTO products(product_id, embedding) VALUES(1000, ?)", stored([0, 0, 0, 0]))
    equal(rows(db, "SELECT rowid FROM looks('[0,0,0,0]', 5)"), before, "not committed")
    writer.execute("COMMIT")
    equal(rows(db, "SELECT rowid FROM looks('[0,0,0,0]', 5)"), before, "an older snapshot")
    db.execute("COMMIT")
    follows(db, "a new snapshot")
    equal(one(db, "SELECT rowid FROM looks('[0,0,0,0]', 1)") in (1000, nearest(db, [0, 0, 0, 0])[0][0]), True)


def test_triggers_and_foreign_keys_of_the_user_are_followed(shop):
    db = make(shop)
    db.execute("CREATE TABLE shelves(id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO shelves VALUES(1), (2)")
    db.execute("ALTER TABLE products ADD COLUMN shelf INTEGER REFERENCES shelves(id) ON DELETE CASCADE")
    db.execute("UPDATE products SET shelf = 1 + product_id % 2")
    db.execute("CREATE TABLE sold(id)")
    db.execute("CREATE TRIGGER sell AFTER INSERT ON sold BEGIN UPDATE products SET embedding = NULL, price = 0 WHERE product_id = new.id; END")
    follows(db)
    writer = plain(shop)
    writer.execute("PRAGMA foreign_keys=ON")
    writer.execute("DELETE FROM shelves WHERE id = 2")
    follows(db, "a cascade")
    equal(one(db, "SELECT count(*) FROM looks('[0,0,0,0]', 100)"), 30)
    writer.execute("INSERT INTO sold VALUES(2), (4), (5)")
    follows(db, "a trigger of the user's")
    writer.execute("PRAGMA recursive_triggers=ON")
    writer.execute("INSERT OR REPLACE INTO products(product_id, sku, embedding) VALUES(700, 's6', ?)", stored([0, 0, 0, 0]))
    follows(db, "recursive triggers")
    db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")


# ------------------------------------------------------------------------------------------------ rows that have gone

def test_rows_that_were_replaced_never_come_back_and_k_rows_do(shop):
    for more in ENGINES:
        for optimize in (False, True):
            name = f"{len(more)}{optimize}.db"
            db = make(shop, 200, more, name)
            if optimize:
                db.execute("INSERT INTO looks(looks) VALUES('optimize')")
            follows(db)
            gone = [row[0] for row in rows(db, "SELECT rowid FROM looks('[0,0,0,0]', 120, ?)", WIDE)]
            writer = plain(shop, name)
            for id in gone[:100]:  # each of the hundred nearest makes way for a far one; no delete trigger fires
                writer.execute("INSERT OR REPLACE INTO products(product_id, sku, embedding, price, category) VALUES(?, ?, ?, 1, 'a')", (id + 5000, f"s{id}", blob([50, 50, 50, id])))
            equal(one(db, "SELECT count(*) FROM products WHERE product_id <= 200"), 100, "they are gone")
            follows(db, more)
            expected = nearest(db, [0, 0, 0, 0])
            kept = [id for id, _ in expected]
            equal([row[0] for row in rows(db, "SELECT rowid FROM looks('[0,0,0,0]', 10, ?)", WIDE)], kept[:10], f"{more}: k rows come back")
            equal(rows(db, "SELECT rowid FROM looks WHERE similar_to = ? AND k = 3", gone[0]), [], "nothing is similar to a row that has gone")
            equal([row[0] for row in rows(db, "SELECT rowid FROM looks WHERE embedding MATCH '[0,0,0,0]' AND k = 10 AND options = ? AND exclude = ?", WIDE, json.dumps(gone[:3] + kept[:2]))], kept[2:12], "exclude")
            among = gone[:50] + kept[:4]
            equal([row[0] for row in rows(db, "SELECT rowid FROM looks WHERE embedding MATCH '[0,0,0,0]' AND k = 10 AND options = ? AND rowid IN (SELECT value FROM json_each(?))", WIDE, json.dumps(among))], kept[:4], "rowid IN")
            bound = expected[11][1]
            close(rows(db, "SELECT rowid, distance FROM looks WHERE embedding MATCH '[0,0,0,0]' AND distance <= ?", bound), [row for row in expected if row[1] <= bound], "a bound")
            close(rows(db, "SELECT rowid, distance FROM looks WHERE embedding MATCH '[0,0,0,0]' AND k = 8 AND options = ? AND price < 100", WIDE), nearest(db, [0, 0, 0, 0], "price < 100"), f"a filter{more}", 8)
            db.execute("CREATE TABLE q(id, v)")
            db.execute("INSERT INTO q VALUES('x', '[0,0,0,0]')")
            equal([row[0] for row in rows(db, "SELECT rowid FROM rec_search('looks', 'q', 'id', 'v', 10, ?)", WIDE)], kept[:10], "rec_search")
            equal(rows(db, "SELECT rank FROM looks('[0,0,0,0]', 10)"), [(i,) for i in range(1, 11)], "ranks have no gaps")
            same = sorted(kept)
            equal([row[0] for row in rows(db, "SELECT rowid FROM looks")], same, "a scan")
            equal(rows(db, "SELECT rowid FROM looks WHERE rowid = ?", gone[0]), [], "a look-up")
            writer.execute("INSERT INTO products(product_id, sku, embedding) VALUES(?, 'again', ?)", (gone[0], blob([0, 0, 0, 0])))
            equal(one(db, "SELECT rowid FROM looks('[0,0,0,0]', 1, ?)", WIDE), gone[0], "it came back with another vector")
            follows(db)


# --------------------------------------------------------------------------------------------------- vectors and NULL

def test_a_vector_of_the_wrong_length_is_refused_by_the_trigger(shop):
    db = make(shop)
    follows(db)
    for writer in (plain(shop), db):
        before = rows(writer, "SELECT * FROM products"), rows(writer, "SELECT count(*) FROM looks_queue")
        for transaction in (False, True):
            if transaction:
                writer.execute("BEGIN")
            for size in (0, 1, 4, 12, 15, 17, 20, 32):
                refused(writer, "INSERT INTO products(embedding) VALUES(?)", bytes(size), says=("looks", "embedding"))
                refused(writer, "INSERT OR IGNORE INTO products(embedding) VALUES(?)", bytes(size), says="embedding")
                refused(writer, "INSERT OR REPLACE INTO products(product_id, sku, embedding) VALUES(5, 's6', ?)", bytes(size), says="embedding")
                refused(writer, "UPDATE products SET embedding = ? WHERE product_id = 5", bytes(size), says="embedding")
                refused(writer, "UPDATE products SET embedding = ?, product_id = 77 WHERE product_id = 5", bytes(size), says="embedding")
                refused(writer, "INSERT INTO products(sku, embedding) VALUES('s5', ?) ON CONFLICT(sku) DO UPDATE SET embedding = excluded.embedding", bytes(size), says="embedding")
                refused(writer, "UPDATE products SET embedding = CASE product_id WHEN 60 THEN ? ELSE zeroblob(16) END", bytes(size), says="embedding")
            if transaction:
                equal(writer.in_transaction, True)
                writer.execute("COMMIT")
            equal((rows(writer, "SELECT * FROM products"), rows(writer, "SELECT count(*) FROM looks_queue")), before, "nothing changed")
    follows(db)


def test_a_vector_that_no_trigger_can_judge_is_named_and_the_rest_can_be_mended(shop):
    nan = numpy.array([0, float("nan"), 0, 0], "<f4").tobytes()
    for number, value in enumerate((nan, "[1,2,3]", "[1,2,3,4,5]", "hello", "[1,2,3,", "[]", 17, 1.5)):
        db = make(shop, name=f"{number}.db")
        follows(db)
        writer = plain(shop, f"{number}.db")
        try:
            writer.execute("UPDATE products SET embedding = ? WHERE product_id = 5", (value,))
        except sqlite3.Error as error:
            assert "embedding" in str(error), error
            follows(db, "a refused write changes nothing")
            continue
        refused(db, "SELECT rowid FROM looks('[0,0,0,0]', 3)", says=("embedding", "5"))
        refused(shop.connect(f"{number}.db"), "SELECT rowid FROM looks('[0,0,0,0]', 3)", says=("embedding", "5"))
        refused(db, "INSERT INTO looks(looks) VALUES('integrity-check')", says="5")
        writer.execute("UPDATE products SET embedding = NULL WHERE product_id = 5")
        follows(db, f"{value!r} is gone")
        db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")


def test_rows_without_a_vector_are_no_rows_of_the_index(shop):
    db = make(shop, 20)
    writer = plain(shop)
    writer.execute("UPDATE products SET embedding = NULL WHERE product_id <= 10")
    equal([row[0] for row in rows(db, "SELECT rowid FROM looks")], list(range(11, 21)))
    equal(one(db, "SELECT count(*) FROM looks"), 10)
    equal(rows(db, "SELECT rowid FROM looks WHERE rowid = 3"), [])
    equal(rows(db, "SELECT rowid FROM looks WHERE similar_to = 3 AND k = 5"), [])
    equal(len(rows(db, "SELECT rowid FROM looks WHERE similar_to = 13 AND k = 50")), 9)
    follows(db)
    writer.execute("UPDATE products SET embedding = ? WHERE product_id = 3", stored([0, 0, 0, 0]))
    follows(db)
    equal(one(db, "SELECT count(*) FROM looks"), 11)


def test_a_table_that_is_empty_or_has_rows_before_the_index(shop):
    for n in (0, 1, 60):
        db = make(shop, n, name=f"{n}.db")
        equal(one(db, "SELECT count(*) FROM looks('[0,0,0,0]', 100)"), n, "without any command")
        follows(db)
        plain(shop, f"{n}.db").execute("INSERT INTO products(product_id, embedding) VALUES(1000, '[9,9,9,9]')")
        follows(db)
        equal(one(db, "SELECT rowid FROM looks('[9,9,9,9]', 1)"), 1000)


def test_the_columns_are_those_of_the_table(shop):
    db = make(shop, 20)
    plain(shop).execute("UPDATE products SET embedding = '[1, 2.5, -3, 0]' WHERE product_id = 4")
    got = rows(db, "SELECT rowid, rec_vec_json(embedding), price, category FROM looks")
    equal(got, rows(db, "SELECT product_id, rec_vec_json(embedding), price, category FROM products ORDER BY 1"))
    hits = rows(db, "SELECT rowid, hex(rec_vec(embedding)), price, category FROM looks('[1,1,1,1]', 20)")
    equal(sorted(hits), rows(db, "SELECT product_id, hex(rec_vec(embedding)), price, category FROM products ORDER BY 1"))
    joined = rows(db, "SELECT p.sku, l.distance FROM looks l JOIN products p ON p.product_id = l.rowid WHERE l.embedding MATCH '[0,0,0,0]' AND l.k = 5 ORDER BY l.rank")
    close(joined, [(f"s{id}", distance) for id, distance in nearest(db, [0, 0, 0, 0])[:5]])
    equal([row[0] for row in rows(db, "SELECT rowid FROM looks WHERE similar_to = 4 AND k = 5")], [id for id, _ in nearest(db, [1, 2.5, -3, 0], "product_id <> 4")[:5]])


# ------------------------------------------------------------------------------------------------ filters on metadata

def test_filters_mean_what_they_mean_on_the_table(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE TABLE products(product_id INTEGER PRIMARY KEY, embedding BLOB, price REAL, category TEXT COLLATE NOCASE, stock INTEGER)")
    draw = random.Random(3)
    for i in range(1, 301):
        db.execute("INSERT INTO products VALUES(?, ?, ?, ?, ?)", (i, draw_blob(draw), draw.choice([None, 5, 9.5, 10, 1e300, -1]), draw.choice(["lamp", "Lamp", "vase", "é", "", None, "10"]), draw.choice([None, 0, 1, 2 ** 60, 2 ** 60 + 1, "many"])))
    conditions = ("price = 10", "price < 10", "price >= 9.5", "price <= '10'", "price IN (5, 9.5)", "price IS NULL", "price IS NOT NULL", "category = 'lamp' COLLATE BINARY", "category > 'a' COLLATE BINARY", "category IN ('vase', '')",
                  "category = 10", "stock = 1152921504606846977", "stock > 1152921504606846976", "stock = 'many'", "stock BETWEEN 0 AND 1", "stock IS NOT NULL AND price > 0 AND category IS NULL")
    for number, more in enumerate(ENGINES):
        db.execute(f"CREATE VIRTUAL TABLE l{number} USING rec_index(embedding float[4], price real, category text, stock integer, metric=l2, content=products{more})")
        db.execute(f"INSERT INTO l{number}(l{number}) VALUES('optimize')")
        for condition in conditions:
            binary = condition.replace("category IN", "category COLLATE BINARY IN").replace("category = 10", "category COLLATE BINARY = '10'")  # the index compares text under BINARY
            expected = nearest(db, [0, 0, 0, 0], binary)
            for k in (3, 400):
                close(rows(db, f"SELECT rowid, distance FROM l{number} WHERE embedding MATCH '[0,0,0,0]' AND k = {k} AND options = ? AND {condition.replace(' COLLATE BINARY', '')}", WIDE), expected, f"{condition}{more}", k)
        close(rows(db, f"SELECT l.rowid, l.distance FROM l{number} l WHERE l.embedding MATCH '[0,0,0,0]' AND l.k = 4 AND l.options = ? AND l.rowid IN (SELECT product_id FROM products WHERE stock = 1)", WIDE), nearest(db, [0, 0, 0, 0], "stock = 1"), f"rowid IN (subquery on the table itself){more}", 4)


def test_a_change_of_letter_case_is_a_change_under_any_collation(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE TABLE products(product_id INTEGER PRIMARY KEY, embedding BLOB, category TEXT COLLATE NOCASE, label TEXT COLLATE RTRIM)")
    db.execute("INSERT INTO products VALUES(1, zeroblob(16), 'lamp', 'x'), (2, zeroblob(16), 'lamp', 'x')")
    db.execute("CREATE VIRTUAL TABLE looks USING rec_index(embedding float[4], category text, label text, content=products)")
    find = "SELECT rowid FROM looks WHERE embedding MATCH zeroblob(16) AND k = 5 AND category IN (?, 'none') AND label IN (?, 'none')"
    equal(rows(db, find, "lamp", "x"), [(1,), (2,)])
    writer = plain(shop)
    writer.execute("UPDATE products SET category = 'Lamp' WHERE product_id = 1")
    equal((rows(db, find, "lamp", "x"), rows(db, find, "Lamp", "x")), ([(2,)], [(1,)]))
    writer.execute("UPDATE products SET label = 'x ' WHERE product_id = 2")
    equal((rows(db, find, "lamp", "x"), rows(db, find, "lamp", "x ")), ([], [(2,)]))


def test_a_search_sees_metadata_that_changed_in_the_same_transaction(shop):
    db = make(shop)
    db.execute("BEGIN")
    db.execute("UPDATE products SET category = 'x' WHERE product_id IN (3, 4, 5)")
    equal(sorted(rows(db, "SELECT rowid FROM looks WHERE embedding MATCH '[0,0,0,0]' AND k = 10 AND category = 'x'")), [(3,), (4,), (5,)])
    db.execute("ROLLBACK")
    equal(rows(db, "SELECT rowid FROM looks WHERE embedding MATCH '[0,0,0,0]' AND k = 10 AND category = 'x'"), [])
