"""content=: names, schemas and files, what is missing or diverges, the index itself, text keys and other options."""
import json, math, random, sqlite3, subprocess

import numpy

from support import EXTENSION, equal, one, refused, rows, vector

from content_support import *


# --------------------------------------------------------------------------------------------- names, schemas, files

def test_the_table_and_the_index_can_be_renamed(shop):
    for more in ("", ", index=HNSW32"):
        name = f"{len(more)}.db"
        db = make(shop, more=more, name=name)
        db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        follows(db)
        writer = plain(shop, name)
        writer.execute("ALTER TABLE products RENAME TO goods")  # by a program without the extension
        writer.execute("INSERT INTO goods(product_id, sku, embedding, price) VALUES(101, 'a', ?, 5)", stored([0, 0, 0, 0]))
        follows(db, "the table was renamed", table="goods")
        follows(shop.connect(name), "in a new connection", table="goods")
        db.execute("ALTER TABLE looks RENAME TO views")
        writer.execute("DELETE FROM goods WHERE product_id = 101")
        writer.execute("INSERT OR REPLACE INTO goods(product_id, sku, embedding, price) VALUES(102, 's3', ?, 5)", stored([0, 0, 0, 0.125]))
        follows(db, "the index was renamed", index="views", table="goods")
        refused(writer, "INSERT INTO goods(embedding) VALUES(x'00')", says="embedding")
        db.execute("ALTER TABLE goods RENAME TO products")
        db.execute("ALTER TABLE views RENAME TO looks")
        writer.execute("UPDATE products SET embedding = ? WHERE product_id = 9", stored([0, 0, 0, 0]))
        follows(db, "and back")
        for command in ("optimize", "rebuild", "integrity-check"):
            db.execute("INSERT INTO looks(looks) VALUES(?)", (command,))
            follows(db, command)


def test_other_columns_come_and_go(shop):
    db = make(shop)
    follows(db)
    writer = plain(shop)
    writer.execute("ALTER TABLE products ADD COLUMN weight REAL DEFAULT 3")
    writer.execute("ALTER TABLE products DROP COLUMN note")
    writer.execute("CREATE INDEX by_price ON products(price)")
    writer.execute("UPDATE products SET embedding = ? WHERE product_id = 9", stored([0, 0, 0, 0]))
    follows(db)
    db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")


def test_a_column_that_is_renamed_is_named_in_the_error(shop):
    db = make(shop)
    follows(db)
    writer = plain(shop)
    writer.execute("ALTER TABLE products RENAME COLUMN embedding TO vec")
    writer.execute("UPDATE products SET vec = ? WHERE product_id = 9", stored([0, 0, 0, 0]))  # the trigger still works
    for connection in (db, shop.connect("shop.db")):
        refused(connection, "SELECT rowid FROM looks('[0,0,0,0]', 3)", says="embedding")
    writer.execute("ALTER TABLE products RENAME COLUMN vec TO embedding")
    follows(db)
    writer.execute("ALTER TABLE products RENAME COLUMN price TO cost")
    refused(db, "SELECT rowid FROM looks WHERE embedding MATCH '[0,0,0,0]' AND k = 3 AND price > 3", says="price")
    writer.execute("ALTER TABLE products RENAME COLUMN cost TO price")
    follows(db)


def test_names_that_need_quotes(shop):
    db = shop.connect("shop.db")
    db.execute("""CREATE TABLE "my 'odd' ""goods""%"([the id] INTEGER PRIMARY KEY, "my vector" BLOB, "list 'price'" REAL, "select" TEXT)""")
    draw = random.Random(5)
    for i in range(1, 31):
        db.execute("""INSERT INTO "my 'odd' ""goods""%" VALUES(?, ?, ?, ?)""", (i, draw_blob(draw), i, "ab"[i % 2]))
    db.execute("""CREATE VIRTUAL TABLE "an 'index' of ""goods""%" USING rec_index("my vector" float[4], "list 'price'" real, "select" text, metric=l2, content="my 'odd' ""goods""%", content_rowid="the id")""")
    writer = plain(shop)
    writer.execute("""UPDATE "my 'odd' ""goods""%" SET "my vector" = ? WHERE [the id] = 7""", stored([0, 0, 0, 0]))
    writer.execute("""DELETE FROM "my 'odd' ""goods""%" WHERE [the id] = 8""")
    expected = nearest(db, [0, 0, 0, 0], """"list 'price'" > 4 AND "select" = 'b'""", table="""\"my 'odd' ""goods""%\"""", key="[the id]", column='"my vector"')
    close(rows(db, """SELECT rowid, distance FROM "an 'index' of ""goods""%" WHERE "my vector" MATCH '[0,0,0,0]' AND k = 5 AND "list 'price'" > 4 AND "select" = 'b'"""), expected[:5])
    refused(writer, """UPDATE "my 'odd' ""goods""%" SET "my vector" = x'00'""", says="my vector")
    db.execute("""INSERT INTO "an 'index' of ""goods""%"("an 'index' of ""goods""%") VALUES('integrity-check')""")
    db.execute("""ALTER TABLE "an 'index' of ""goods""%" RENAME TO plain""")
    writer.execute("""DELETE FROM "my 'odd' ""goods""%" WHERE [the id] = 7""")
    equal(one(db, "SELECT count(*) FROM plain('[0,0,0,0]', 100)"), 28)
    db.execute("DROP TABLE plain")
    equal(rows(db, "SELECT name FROM sqlite_schema"), [("""my 'odd' "goods"%""",)])


def test_content_rowid_is_the_integer_primary_key(shop):
    db = make(shop)
    for number, given in enumerate((", content_rowid=product_id", ", content_rowid='PRODUCT_ID'", ", content_rowid=rowid")):
        try:
            db.execute(f"CREATE VIRTUAL TABLE i{number} USING rec_index(embedding float[4], price real, category text, metric=l2, content=products{given})")
        except sqlite3.Error as error:
            assert "rowid" in given and "product_id" in str(error), error  # `rowid` may be refused, with the name to write
            continue
        follows(db, given, index=f"i{number}")


def test_several_indexes_over_one_table(shop):
    db = make(shop)
    db.execute("ALTER TABLE products ADD COLUMN picture BLOB")
    db.execute("UPDATE products SET picture = zeroblob(12) WHERE product_id % 2")
    db.execute("CREATE VIRTUAL TABLE looks2 USING rec_index(embedding float[4], price real, category text, metric=l2, index=HNSW32, content=products)")
    db.execute("CREATE VIRTUAL TABLE pictures USING rec_index(picture float[3], price real, metric=l2, content=products)")
    writer = plain(shop)
    writer.execute("INSERT INTO products(product_id, embedding, picture, price) VALUES(100, ?, ?, 5)", (blob([0, 0, 0, 0]), blob([1, 1, 1])))
    writer.execute("DELETE FROM products WHERE product_id = 7")
    follows(db); follows(db, index="looks2")
    equal(one(db, "SELECT rowid FROM pictures('[1,1,1]', 1)"), 100)
    equal(one(db, "SELECT count(*) FROM pictures('[1,1,1]', 100)"), 30)
    refused(writer, "UPDATE products SET picture = x'00' WHERE product_id = 1", says="picture")
    db.execute("DROP TABLE looks")
    writer.execute("UPDATE products SET embedding = ? WHERE product_id = 1", stored([0, 0, 0, 0]))
    follows(db, index="looks2")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE 'looks!_%' ESCAPE '!' OR (type = 'trigger' AND sql LIKE '%\"looks_queue\"%')"), [], "a dropped index leaves nothing")
    db.execute("DROP TABLE looks2"); db.execute("DROP TABLE pictures")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE type = 'trigger'"), [])
    writer.execute("UPDATE products SET embedding = x'00' WHERE product_id = 1")  # nobody minds any more


def test_vacuum_copies_and_reopening(shop):
    db = make(shop, more=", index=HNSW32")
    db.execute("INSERT INTO looks(looks) VALUES('optimize')")
    follows(db)
    writer = plain(shop)
    writer.execute("DELETE FROM products WHERE product_id % 3 = 0")
    writer.execute("VACUUM")  # by a program without the extension
    follows(db, "VACUUM")
    db.execute("VACUUM")
    writer.execute("INSERT INTO products(product_id, embedding, price) VALUES(100, ?, 5)", stored([0, 0, 0, 0]))
    follows(db, "after VACUUM")
    writer.execute("VACUUM INTO ?", (shop.path("copy.db"),))
    plain(shop, "copy.db").execute("UPDATE products SET embedding = ? WHERE product_id = 1", stored([0, 0, 0, 0]))
    follows(shop.connect("copy.db"), "the copy")
    follows(db, "the original")
    backup = plain(shop, "backup.db")
    writer.backup(backup)
    backup.execute("DELETE FROM products WHERE product_id = 1")
    follows(shop.connect("backup.db"), "a backup")
    db.close()
    follows(shop.connect("shop.db"), "reopened")


def test_a_dump_by_the_shell_without_the_extension_is_a_whole_database(shop):
    db = make(shop, more=", index=HNSW32")
    db.execute("INSERT INTO looks(looks) VALUES('optimize')")
    db.close()
    dump = subprocess.run(["sqlite3", "-init", "/dev/null", shop.path(), ".dump"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["sqlite3", "-init", "/dev/null", "-bail", shop.path("again.db")], input=dump, check=True, stdout=subprocess.DEVNULL)
    plain(shop, "again.db").execute("DELETE FROM products WHERE product_id = 1")
    db = shop.connect("again.db")
    follows(db)
    db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")


def test_an_attached_database_has_content_of_its_own(shop):
    db = shop.connect("main.db")
    db.execute("CREATE TABLE products(product_id INTEGER PRIMARY KEY, embedding BLOB, price REAL, category TEXT)")  # of the same name, and never meant
    db.execute("INSERT INTO products VALUES(1, zeroblob(16), 1, 'a')")
    make(shop, name="aux.db").execute("DROP TABLE looks")
    db.execute("ATTACH ? AS other", (shop.path("aux.db"),))
    db.execute("CREATE TEMP TABLE products(product_id INTEGER PRIMARY KEY, embedding BLOB, price REAL, category TEXT)")
    db.execute(INDEX.format("").replace("TABLE looks", "TABLE other.looks"))
    follows(db, "attached", index="other.looks", table="other.products")
    plain(shop, "aux.db").execute("UPDATE products SET embedding = ? WHERE product_id = 9", stored([0, 0, 0, 0]))
    follows(db, "written in its own file", index="other.looks", table="other.products")
    db.execute("INSERT INTO other.products(product_id, embedding) VALUES(77, zeroblob(16))")
    db.execute("DELETE FROM main.products"); db.execute("INSERT INTO temp.products VALUES(78, zeroblob(16), 1, 'a')")
    follows(db, "written through the attached name", index="other.looks", table="other.products")
    db.execute("CREATE TABLE q(id, v)"); db.execute("INSERT INTO q VALUES(1, '[0,0,0,0]')")
    equal([row[0] for row in rows(db, "SELECT rowid FROM rec_search('other.looks', 'q', 'id', 'v', 4)")], [id for id, _ in nearest(db, [0, 0, 0, 0], table="other.products")[:4]])
    for command in ("optimize", "rebuild", "integrity-check"):
        db.execute("INSERT INTO other.looks(looks) VALUES(?)", (command,))
        follows(db, command, index="other.looks", table="other.products")
    db.execute("DETACH other")
    db.execute("ATTACH ? AS elsewhere", (shop.path("aux.db"),))
    follows(db, "under another name", index="elsewhere.looks", table="elsewhere.products")
    db.execute("INSERT INTO elsewhere.products(product_id, embedding) VALUES(79, zeroblob(16))")
    follows(db, "under another name", index="elsewhere.looks", table="elsewhere.products")


# --------------------------------------------------------------------------------------- what is missing or diverges

def triggers(db):
    return rows(db, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'products' ORDER BY name")


def test_triggers_that_were_dropped_are_found_and_mended(shop):
    for number, more in enumerate(ENGINES):
        for step, change in enumerate(("UPDATE products SET embedding = '[0,0,0,0]' WHERE product_id = 9", "DELETE FROM products WHERE product_id = 9", "INSERT INTO products(product_id, embedding, price) VALUES(100, '[0,0,0,0]', 5)",
                                       "UPDATE products SET product_id = 500 WHERE product_id = 9", "UPDATE products SET embedding = NULL WHERE product_id = 9")):
            name = f"{number}-{step}.db"
            db = make(shop, more=more, name=name)
            db.execute("INSERT INTO looks(looks) VALUES('optimize')")
            follows(db)
            before = triggers(db)
            equal(len(before), 3)
            writer = plain(shop, name)
            for trigger, _ in before:
                writer.execute(f'DROP TRIGGER "{trigger}"')
            refused(db, "INSERT INTO looks(looks) VALUES('integrity-check')", says=("looks", "trigger"))  # already before a write goes by
            writer.execute(change)
            refused(db, "INSERT INTO looks(looks) VALUES('integrity-check')", says="looks")
            refused(shop.connect(name), "INSERT INTO looks(looks) VALUES('integrity-check')", says="looks")
            db.execute("INSERT INTO looks(looks) VALUES('rebuild')")
            db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")
            equal(triggers(db), before, "the triggers are there again")
            follows(db, f"{change}{more}: after rebuild")
            writer.execute("UPDATE products SET embedding = '[1,1,1,1]' WHERE product_id = 20")
            follows(db, "the triggers work")
            db.close()


def test_a_divergence_with_all_triggers_in_place_is_found(shop):
    for number, change in enumerate(("UPDATE products SET embedding = '[0,0,0,0]' WHERE product_id = 9", "DELETE FROM products WHERE product_id = 9", "INSERT INTO products(product_id, embedding) VALUES(100, '[0,0,0,0]')")):
        db = make(shop, name=f"{number}.db", more=", index=HNSW32")
        db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        follows(db)
        before = triggers(db)
        writer = plain(shop, f"{number}.db")
        for trigger, _ in before:
            writer.execute(f'DROP TRIGGER "{trigger}"')
        writer.execute(change)
        for _, sql in before:
            writer.execute(sql)
        if "DELETE" in change:  # a row that has gone without a word is what REPLACE makes, too: it never comes back, and is no error
            follows(db, change)
        else:
            refused(db, "INSERT INTO looks(looks) VALUES('integrity-check')", says=("looks", "rebuild"))
        db.execute("INSERT INTO looks(looks) VALUES('rebuild')")
        db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")
        follows(db, change)


def test_one_missing_trigger_is_enough(shop):
    for number in range(3):
        db = make(shop, name=f"{number}.db")
        before = triggers(db)
        plain(shop, f"{number}.db").execute(f'DROP TRIGGER "{before[number][0]}"')
        refused(db, "INSERT INTO looks(looks) VALUES('integrity-check')", says="trigger")
        db.execute("INSERT INTO looks(looks) VALUES('rebuild')")
        equal(triggers(db), before)
        db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")


def test_a_table_that_was_dropped_is_named_and_the_index_can_be_dropped(shop):
    for drop in (True, False):
        for transaction in (False, True):
            name = f"{drop}{transaction}.db"
            db = make(shop, name=name)
            follows(db)
            plain(shop, name).execute("DROP TABLE products")
            if transaction:
                db.execute("BEGIN")
            for connection in (db, shop.connect(name)):
                for sql in ("SELECT rowid FROM looks('[0,0,0,0]', 3)", "SELECT * FROM looks", "INSERT INTO looks(looks) VALUES('integrity-check')", "INSERT INTO looks(looks) VALUES('rebuild')", "SELECT rowid FROM looks WHERE similar_to = 3 AND k = 2"):
                    if "VALUES" not in sql or connection is db:
                        refused(connection, sql, says="products")
            if drop:
                db.execute("DROP TABLE looks")
                equal(rows(db, "SELECT name FROM sqlite_schema"), [])
                continue
            db.execute(PRODUCTS)
            db.execute("INSERT INTO products(product_id, embedding, price) VALUES(7, zeroblob(16), 30), (8, '[1,1,1,1]', 30)")
            db.execute("INSERT INTO looks(looks) VALUES('rebuild')")
            follows(db, "made again, and rebuilt")
            db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")
            db.execute("DELETE FROM products WHERE product_id = 7")
            follows(db, "its triggers work")


def test_a_table_that_takes_the_place_of_another(shop):
    """SQLite's own recipe for schema changes: make a new table, copy, drop the old one, rename. The triggers go with the old one."""
    db = make(shop)
    follows(db)
    writer = plain(shop)
    for sql in ("BEGIN", PRODUCTS.replace("TABLE products", "TABLE new"), "INSERT INTO new SELECT * FROM products WHERE product_id <> 9", "DROP TABLE products", "ALTER TABLE new RENAME TO products", "COMMIT"):
        writer.execute(sql)
    refused(db, "INSERT INTO looks(looks) VALUES('integrity-check')", says=("looks", "rebuild"))
    equal([row for row in rows(db, "SELECT rowid FROM looks('[0,0,0,0]', 100)") if row == (9,)], [], "row 9 has gone")
    db.execute("INSERT INTO looks(looks) VALUES('rebuild')")
    follows(db)
    writer.execute("DELETE FROM products WHERE product_id = 10")
    follows(db)


# ---------------------------------------------------------------------------------------------------- the index itself

def test_the_index_itself_cannot_be_written(shop):
    db = make(shop)
    before = rows(db, "SELECT * FROM products"), rows(db, "SELECT * FROM looks_queue")
    for transaction in (False, True):
        if transaction:
            db.execute("BEGIN")
        refused(db, "INSERT INTO looks(rowid, embedding) VALUES(100, '[1,1,1,1]')", says=("looks", "products"))
        refused(db, "INSERT OR REPLACE INTO looks(rowid, embedding) VALUES(1, '[1,1,1,1]')", says="products")
        refused(db, "INSERT OR IGNORE INTO looks(rowid, embedding) VALUES(1, '[1,1,1,1]')", says="products")
        refused(db, "INSERT INTO looks(embedding) SELECT embedding FROM products", says="products")
        refused(db, "UPDATE looks SET embedding = '[1,1,1,1]' WHERE rowid = 5", says="products")
        refused(db, "UPDATE looks SET price = 5 WHERE rowid = 5", says="products")
        refused(db, "UPDATE looks SET rowid = 500 WHERE rowid = 5", says="products")
        refused(db, "DELETE FROM looks WHERE rowid = 5", says="products")
        refused(db, "DELETE FROM looks", says="products")
        equal(db.in_transaction, transaction)
        equal((rows(db, "SELECT * FROM products"), rows(db, "SELECT * FROM looks_queue")), before)
    for command in ("train", "optimize", "rebuild", "integrity-check", "drop-cache"):
        db.execute("INSERT INTO looks(looks) VALUES(?)", (command,))
        follows(db, command)


def test_nothing_is_copied(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE TABLE products(product_id INTEGER PRIMARY KEY, embedding BLOB)")
    db.execute("INSERT INTO products WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i, zeroblob(4000) FROM n")
    pages = one(db, "PRAGMA page_count")
    db.execute("CREATE VIRTUAL TABLE looks USING rec_index(embedding float[1000], metric=l2, content=products)")
    equal(one(db, "SELECT count(*) FROM looks(zeroblob(4000), 1000)"), 500)
    grown = one(db, "PRAGMA page_count") - pages
    assert grown <= 20 + pages // 20, f"{grown} pages beside the {pages} of the table"


def test_a_program_without_the_extension_can_do_everything_but_read_the_index(shop):
    db = make(shop)
    db.close()
    writer = plain(shop)
    refused(writer, "SELECT * FROM looks", says="no such module")
    for sql in ("PRAGMA integrity_check", "PRAGMA foreign_key_check", "ANALYZE", "CREATE TABLE other(x)", "ALTER TABLE other RENAME TO another", "ALTER TABLE another ADD COLUMN y", "CREATE VIEW cheap AS SELECT * FROM products WHERE price < 5",
                "ALTER TABLE products RENAME TO goods", "ALTER TABLE goods RENAME COLUMN note TO remark", "ALTER TABLE goods RENAME TO products", "DROP VIEW cheap", "DROP TABLE another", "REINDEX", "VACUUM"):
        writer.execute(sql).fetchall()
    equal(one(writer, "PRAGMA integrity_check"), "ok")
    follows(shop.connect("shop.db"))


def shell(shop, script, name="shop.db", load=True):
    script = (f".load {EXTENSION}\n" if load else "") + script
    return subprocess.run(["sqlite3", "-batch", "-init", "/dev/null", shop.path(name)], input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.split()


def test_untrusted_schema_and_defensive_connections_can_write(shop):
    db = make(shop)
    follows(db)
    for writer in (plain(shop), shop.connect("shop.db")):
        writer.execute("PRAGMA trusted_schema=OFF")
        writer.execute("UPDATE products SET embedding = ? WHERE product_id = 9", stored([0, 0, 0, 0.5]))
        writer.execute("INSERT INTO products(embedding, price) VALUES(?, 3)", stored([0, 0, 0, 0.25]))
        writer.execute("DELETE FROM products WHERE product_id = (SELECT max(product_id) - 1 FROM products)")
        follows(db, "trusted_schema=OFF")
        refused(writer, "UPDATE products SET embedding = x'00'", says="embedding")
    follows(writer, "a search with trusted_schema=OFF")
    writer.execute("INSERT INTO looks(looks) VALUES('rebuild')")
    for load in (False, True):
        equal(shell(shop, ".dbconfig defensive on\nINSERT INTO products(product_id, embedding, price) VALUES(%d, zeroblob(16), 3);\nUPDATE products SET embedding = '[1,1,1,1]' WHERE product_id = 11;\nDELETE FROM products WHERE product_id = 12 + %d;\n" % (300 + load, load), load=load),
              ["defensive", "on"], f"defensive, the extension loaded: {load}")
        follows(db, "defensive")
    equal(shell(shop, ".dbconfig defensive on\nSELECT rowid FROM looks('[1,1,1,1]', 1);\nINSERT INTO looks(looks) VALUES('optimize');\nINSERT INTO looks(looks) VALUES('rebuild');\nINSERT INTO looks(looks) VALUES('integrity-check');\n"), ["defensive", "on", str(nearest(db, [1, 1, 1, 1])[0][0])])


# ------------------------------------------------------------------------------------------- a text key, other options

def test_a_text_key_of_the_table(shop):
    for number, more in enumerate(ENGINES):
        db = make(shop, name=f"{number}.db")
        db.execute(f"CREATE VIRTUAL TABLE keyed USING rec_index(embedding float[4], sku text primary key, price real, metric=l2, content=products{more})")
        db.execute("INSERT INTO keyed(keyed) VALUES('optimize')")
        def check(what):
            expected = [(one(db, "SELECT sku FROM products WHERE product_id = ?", id), distance) for id, distance in nearest(db, [0, 0, 0, 0])]
            close(rows(db, "SELECT sku, distance FROM keyed('[0,0,0,0]', 100)"), expected, what)
        check("before")
        writer = plain(shop, f"{number}.db")
        writer.execute("UPDATE products SET sku = 'renamed' WHERE product_id = 7")
        check("a key changed")
        v = one(db, "SELECT rec_vec_json(embedding) FROM products WHERE sku = 'renamed'")
        expected = [one(db, "SELECT sku FROM products WHERE product_id = ?", id) for id, _ in nearest(db, json.loads(v), "sku <> 'renamed'")]
        equal([row[0] for row in rows(db, "SELECT sku FROM keyed WHERE similar_to = 'renamed' AND k = 5 AND options = ?", WIDE)], expected[:5])
        equal([row[0] for row in rows(db, "SELECT sku FROM keyed WHERE similar_to = 'renamed' AND k = 5 AND options = ? AND exclude = ?", WIDE, json.dumps(expected[:2]))], expected[2:7])
        equal(rows(db, "SELECT rowid, price FROM keyed WHERE sku = 'renamed'"), [(7, 7.0)])
        equal(rows(db, "SELECT rowid FROM keyed WHERE sku = 's7'"), [])
        writer.execute("INSERT OR REPLACE INTO products(product_id, sku, embedding) VALUES(200, 's3', ?)", stored([0, 0, 0, 0]))
        check("replaced through the key")
        equal(rows(db, "SELECT rowid FROM keyed WHERE sku = 's3'"), [(200,)])
        db.execute("CREATE TABLE q(id, v)"); db.execute("INSERT INTO q VALUES('x', '[0,0,0,0]')")
        equal([row[0] for row in rows(db, "SELECT rowid FROM rec_search('keyed', 'q', 'id', 'v', 6, ?)", WIDE)], [row[0] for row in rows(db, "SELECT sku FROM keyed('[0,0,0,0]', 6, ?)", WIDE)])
        db.execute("INSERT INTO keyed(keyed) VALUES('integrity-check')")


def test_every_metric(shop):
    db = make(shop)
    for metric in ("cosine", "ip", "l2"):
        db.execute(f"CREATE VIRTUAL TABLE i_{metric} USING rec_index(embedding float[4], metric={metric}, content=products)")
        plain(shop).execute("UPDATE products SET embedding = ? WHERE product_id = 9", stored([1, 2, 3, 4]))
        q = numpy.array([0.5, 1, -1, 2])
        listed = []
        for id, value in rows(db, "SELECT product_id, embedding FROM products"):
            x = read(value).astype(float)
            norms = numpy.linalg.norm(x) * numpy.linalg.norm(q)
            score = x @ q if metric == "ip" else -numpy.linalg.norm(x - q) if metric == "l2" else x @ q / norms if norms else 0.0
            listed.append((id, float(score)))
        listed.sort(key=lambda row: (-round(row[1], 12), row[0]))  # equal cosines differ in the last bit
        got = rows(db, f"SELECT rowid, score FROM i_{metric}(?, 100)", vector(*q))
        equal(sorted(id for id, _ in got), sorted(id for id, _ in listed))
        for (_, a), (_, b) in zip(got, listed):
            assert math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12), (metric, a, b)
        for id, score in got:
            assert math.isclose(score, dict(listed)[id], rel_tol=1e-12, abs_tol=1e-12), (metric, id)


def test_wrong_arguments_are_refused_and_leave_nothing(shop):
    for transaction in (False, True):
        db = shop.connect()
        db.execute(PRODUCTS)
        db.execute("INSERT INTO products(product_id, embedding) VALUES(1, zeroblob(16))")
        db.execute("CREATE VIEW v AS SELECT * FROM products")
        db.execute("CREATE TABLE keyed(sku TEXT PRIMARY KEY, embedding BLOB) WITHOUT ROWID")
        db.execute("CREATE TABLE wide(id INTEGER PRIMARY KEY, other INTEGER UNIQUE, embedding BLOB, price TEXT, category REAL, stock)")
        db.execute("CREATE VIRTUAL TABLE words USING fts5(embedding)")
        before = rows(db, "SELECT * FROM sqlite_schema")
        if transaction:
            db.execute("BEGIN")
        for arguments, says in (
                ("embedding float[4], content=nosuch", "nosuch"), ("embedding float[4], content=''", "content"), ("embedding float[4], content=v", "v"), ("embedding float[4], content=words", "words"), ("embedding float[4], content=keyed", "keyed"),
                ("nosuch float[4], content=products", ("nosuch", "products")), ("embedding float[4], nosuch real, content=products", ("nosuch", "products")), ("embedding float[4], content=products, content_rowid=nosuch", "nosuch"),
                ("embedding float[4], content=products, content_rowid=sku", "sku"), ("embedding float[4], content=wide, content_rowid=other", "other"), ("embedding float[4], content_rowid=product_id", "content"),
                ("embedding float[4], content=products, content=products", "twice"), ("embedding float[4], content=sqlite_schema", "sqlite_schema"),
                ("embedding float[4], price real, content=wide", "price"), ("embedding float[4], category text, content=wide", "category"), ("embedding float[4], stock integer, content=wide", "stock"), ("embedding float[4], content=x_queue", "x_queue")):
            refused(db, f"CREATE VIRTUAL TABLE x USING rec_index({arguments})", says=says)
            equal(rows(db, "SELECT * FROM sqlite_schema"), before, arguments)
        equal(db.in_transaction, transaction)


def test_rows_that_do_not_fit_are_named_at_create(shop):
    for value in (bytes(15), bytes(20), b"", "[1,2]", "hello", 17):
        db = shop.connect()
        db.execute(PRODUCTS)
        db.execute("INSERT INTO products(product_id, embedding) VALUES(1, zeroblob(16)), (2, NULL), (3, ?)", (value,))
        before = rows(db, "SELECT * FROM sqlite_schema")
        try:
            db.execute(INDEX.format(""))
        except sqlite3.Error as error:
            assert "3" in str(error) and "embedding" in str(error), error
            equal(rows(db, "SELECT * FROM sqlite_schema"), before)
            continue
        refused(db, "SELECT rowid FROM looks('[0,0,0,0]', 3)", says=("embedding", "3"))
        db.execute("UPDATE products SET embedding = NULL WHERE product_id = 3")
        equal(rows(db, "SELECT rowid FROM looks('[0,0,0,0]', 3)"), [(1,)])


def test_a_generated_column_can_hold_the_vector(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE TABLE products(product_id INTEGER PRIMARY KEY, doc TEXT, embedding TEXT AS (json_extract(doc, '$.v')) STORED, price REAL AS (json_extract(doc, '$.price')), category TEXT AS (json_extract(doc, '$.kind')))")
    db.execute(INDEX.format(""))
    writer = plain(shop)
    draw = random.Random(9)
    for i in range(1, 41):
        writer.execute("INSERT INTO products(product_id, doc) VALUES(?, ?)", (i, json.dumps({"v": [draw.randrange(9) for _ in range(4)], "price": i, "kind": "ab"[i % 2]})))
    follows(db)
    writer.execute("UPDATE products SET doc = json_set(doc, '$.v', json('[0,0,0,0]'), '$.price', 99) WHERE product_id = 9")
    follows(db, "an update of what it is made of")
    writer.execute("DELETE FROM products WHERE product_id = 3")
    follows(db)
    db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")


def test_more_changes_than_the_queue_keeps(shop):
    rotate = "UPDATE products SET embedding = (SELECT embedding FROM products p WHERE p.product_id = 1 + (products.product_id + ?) % 300)"
    for number, more in enumerate(ENGINES[:2]):
        for odd in (False, True):
            db = make(shop, 300, more, f"{number}{odd}.db")
            if odd:
                db.execute("INSERT INTO products(product_id) VALUES(1000)")  # an update may append two rows: begin at an odd place too
            db.execute("INSERT INTO looks(looks) VALUES('optimize')")
            other = shop.connect(f"{number}{odd}.db")
            follows(db); follows(other)
            writer = plain(shop, f"{number}{odd}.db")
            writer.execute("BEGIN")
            for round in range(60):  # 18,000 changes
                writer.execute(rotate, (round,))
            writer.execute("COMMIT")
            follows(db, "another program's 18,000 changes")
            db.execute("BEGIN"); db.execute("UPDATE products SET embedding = '[9,9,9,9]' WHERE product_id < 20"); follows(db); db.execute("ROLLBACK")
            follows(db, "and a rollback"); follows(other)
            follows(shop.connect(f"{number}{odd}.db"), "a new connection")
            db.execute("INSERT INTO looks(looks) VALUES('optimize')")
            follows(db)
            for round in range(60):
                writer.execute(rotate, (round,))
            kept = one(db, "SELECT count(*) FROM looks_queue")
            assert kept < 19000 + (36000 if more else 0), f"{more}: {kept} rows of the queue are kept; what came after the last build must be"
            follows(db)
            db.execute("INSERT INTO looks(looks) VALUES('integrity-check')")


def test_the_table_is_changed_by_what_a_search_finds(shop):
    for more in ("", ", index=HNSW32"):
        db = make(shop, more=more, name=f"{len(more)}.db")
        db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        near = [id for id, _ in nearest(db, [0, 0, 0, 0])]
        db.execute("DELETE FROM products WHERE product_id IN (SELECT rowid FROM looks('[0,0,0,0]', 5, ?))", (WIDE,))
        follows(db, "deleted")
        equal(sorted(near[:5]), [id for id in range(1, 61) if not one(db, "SELECT 1 FROM products WHERE product_id = ?", id)])
        db.execute("UPDATE products SET embedding = '[7,7,7,7]' WHERE product_id IN (SELECT rowid FROM looks('[0,0,0,0]', 5, ?))", (WIDE,))
        follows(db, "updated")
        equal(sorted(id for id, in rows(db, "SELECT rowid FROM looks('[7,7,7,7]', 5, ?)", WIDE)), sorted(near[5:10]))
        db.execute("INSERT INTO products(product_id, embedding, price) SELECT rowid + 100, embedding, price FROM looks('[7,7,7,7]', 60)")
        follows(db, "copied")
        db.execute("UPDATE products SET price = rank FROM looks l WHERE l.embedding MATCH '[7,7,7,7]' AND l.k = 8 AND l.rowid = product_id")
        equal(sorted(price for price, in rows(db, "SELECT price FROM products WHERE product_id IN (SELECT rowid FROM looks('[7,7,7,7]', 8))")), [float(i) for i in range(1, 9)])
        follows(db)


def test_a_file_that_cannot_be_written_is_searched(shop):
    db = make(shop, more=", index=HNSW32")
    db.execute("INSERT INTO looks(looks) VALUES('optimize')")
    plain(shop).execute("UPDATE products SET embedding = '[0,0,0,0]' WHERE product_id % 5 = 0")
    db.close()
    reader = sqlite3.connect(f"file:{shop.path()}?mode=ro", uri=True, isolation_level=None)
    reader.enable_load_extension(True)
    reader.load_extension(EXTENSION)
    follows(reader)
    refused(reader, "INSERT INTO looks(looks) VALUES('rebuild')", says="readonly")
    plain(shop).execute("DELETE FROM products WHERE product_id % 3 = 0")
    follows(reader, "another program's commit")


def test_an_index_is_in_the_schema_of_its_table(shop):
    db = make(shop)
    refused(db, INDEX.format("").replace("TABLE looks", "TABLE temp.t"), says="products")
    db.execute(PRODUCTS.replace("TABLE products", "TEMP TABLE things"))
    db.execute(INDEX.format("").replace("TABLE looks", "TABLE temp.t").replace("content=products", "content=things"))
    db.execute("INSERT INTO things SELECT * FROM products")
    follows(db, index="temp.t", table="things")
    db.execute("DELETE FROM things WHERE product_id > 30")
    follows(db, index="temp.t", table="things")
    refused(db, INDEX.format("").replace("TABLE looks", "TABLE u").replace("content=products", "content=things"), says="things")
    refused(db, INDEX.format("").replace("TABLE looks", "TABLE u").replace("content=products", "content='temp.things'"), says="temp.things")


def test_rec_search_with_the_table_itself_as_queries(shop):
    for more in ENGINES:
        db = make(shop, 40, more, f"{len(more)}.db")
        db.execute("INSERT INTO looks(looks) VALUES('optimize')")
        db.execute("UPDATE products SET embedding = '[1,1,1,1]' WHERE product_id = 3")
        db.execute("UPDATE products SET embedding = NULL WHERE product_id = 4")
        db.execute("INSERT OR REPLACE INTO products(product_id, sku, embedding) VALUES(100, 's5', zeroblob(16))")
        got = {}
        for id, near, distance in rows(db, "SELECT id, rowid, distance FROM rec_search('looks', 'products', 'product_id', 'embedding', 4, ?)", WIDE):
            got.setdefault(id, []).append((near, distance))
        equal(sorted(got), [id for id, in rows(db, "SELECT product_id FROM products WHERE embedding IS NOT NULL ORDER BY 1")])
        for id, found in got.items():
            close(found, nearest(db, read(one(db, "SELECT embedding FROM products WHERE product_id = ?", id)).astype(float)), f"row {id}{more}", 4)


def test_a_text_key_of_the_table_must_be_a_key_there(shop):
    for number, declared in enumerate(("sku TEXT", "sku TEXT NOT NULL", "sku TEXT, UNIQUE(sku, price)", "sku TEXT UNIQUE", "sku TEXT NOT NULL COLLATE NOCASE UNIQUE", "sku TEXT NOT NULL UNIQUE COLLATE BINARY")):
        db = shop.connect(f"{number}.db")
        db.execute(f"CREATE TABLE products(product_id INTEGER PRIMARY KEY, price REAL, embedding BLOB, {declared})")
        if number == 1:
            db.execute("CREATE UNIQUE INDEX part ON products(sku) WHERE product_id > 5")
        try:
            db.execute("CREATE VIRTUAL TABLE looks USING rec_index(embedding float[2], sku text primary key, metric=l2, content=products)")
        except sqlite3.Error as error:
            assert "sku" in str(error) and number < 5, error  # a column that is no key cannot be one of the index
            continue
        db.execute("INSERT INTO products(product_id, embedding, sku, price) VALUES(1, '[1,0]', 'Ab', 1), (2, '[2,0]', 'c', 2)")
        if number < 3:  # not a key: if it is taken all the same, no row may be lost
            db.execute("INSERT INTO products(product_id, embedding, sku, price) VALUES(3, '[3,0]', 'c', 3), (4, '[4,0]', NULL, 4)")
            equal(sorted(rows(db, "SELECT rowid FROM looks WHERE sku = 'c'")), [(2,), (3,)], declared)
            equal(rows(db, "SELECT rowid FROM looks WHERE embedding MATCH '[0,0]' AND k = 9 AND exclude = '[\"c\"]'"), [(1,), (4,)], declared)
        equal(rows(db, "SELECT rowid FROM looks WHERE sku = 'Ab'"), [(1,)], declared)
        for other in ("AB", "ab"):
            equal(rows(db, "SELECT rowid FROM looks WHERE sku = ?", other), [], f"{declared}: keys are compared byte by byte")
            equal(rows(db, "SELECT rowid FROM looks WHERE similar_to = ? AND k = 3", other), [], f"{declared}: keys are compared byte by byte")
            equal(rows(db, "SELECT rowid FROM looks WHERE embedding MATCH '[0,0]' AND k = 1 AND exclude = ?", json.dumps([other])), [(1,)], f"{declared}: keys are compared byte by byte")


def test_primary_keys_that_are_not_the_rowid(shop):
    db = shop.connect()
    for number, declared in enumerate(("id INT PRIMARY KEY", "id TEXT PRIMARY KEY", "id INTEGER, other INTEGER, PRIMARY KEY(id, other)", "id INTEGER")):
        db.execute(f"CREATE TABLE p{number}({declared.replace('id ', 'e BLOB, id ', 1)})")
        refused(db, f"CREATE VIRTUAL TABLE t USING rec_index(e float[2], content=p{number})", says=(f"p{number}", "INTEGER PRIMARY KEY"))
    for number, declared in enumerate(("id INTEGER PRIMARY KEY AUTOINCREMENT", "id INTEGER, PRIMARY KEY(id)", "id INTEGER, PRIMARY KEY(id DESC)", "id integer primary key")):  # each is the rowid
        db.execute(f"CREATE TABLE q{number}(e BLOB, {declared})")
        db.execute(f"CREATE VIRTUAL TABLE t{number} USING rec_index(e float[2], content=q{number}, metric=l2)")
        db.execute(f"INSERT INTO q{number}(e) VALUES('[1,0]'), ('[2,0]')")
        db.execute(f"UPDATE q{number} SET rowid = 9 WHERE rowid = 1")
        equal(rows(db, f"SELECT rowid FROM t{number}('[0,0]', 5)"), [(9,), (2,)], declared)
    db.execute("CREATE TABLE odd(e BLOB, id INTEGER PRIMARY KEY DESC)")  # SQLite's quirk: this one is not
    refused(db, "CREATE VIRTUAL TABLE t USING rec_index(e float[2], content=odd)", says=("odd", "INTEGER PRIMARY KEY"))


def test_a_write_that_changes_nothing_costs_nothing(shop):
    db = make(shop)
    writer = plain(shop)
    before = one(db, "SELECT count(*) FROM looks_queue")
    for sql in ("UPDATE products SET embedding = embedding, product_id = product_id, price = price", "UPDATE products SET note = 'x'", "UPDATE products SET sku = 'x' || sku", "INSERT OR IGNORE INTO products(product_id) VALUES(5)", "DELETE FROM products WHERE product_id = 4711"):
        writer.execute(sql)
        equal(one(db, "SELECT count(*) FROM looks_queue"), before, sql)
    follows(db)


def test_columns_that_the_index_needs_cannot_be_dropped_by_mistake(shop):
    db = make(shop)
    for column in ("embedding", "price"):
        refused(plain(shop), f"ALTER TABLE products DROP COLUMN {column}", says=column)
    follows(db)
    db.execute("DROP TABLE looks")
    plain(shop).execute("ALTER TABLE products DROP COLUMN price")


def test_names_of_triggers_and_tables_that_are_taken(shop):
    for transaction in (False, True):
        db = shop.connect()
        db.execute(PRODUCTS)
        db.execute("CREATE TRIGGER looks_content_delete AFTER INSERT ON products BEGIN SELECT 1; END")
        db.execute("CREATE TABLE views_queue(x)")
        before = rows(db, "SELECT name FROM sqlite_schema")
        if transaction:
            db.execute("BEGIN")
        refused(db, INDEX.format(""), says="looks_content_delete")
        refused(db, INDEX.format("").replace("TABLE looks", "TABLE views"), says="views_queue")
        equal(rows(db, "SELECT name FROM sqlite_schema"), before)
        db.execute(INDEX.format("").replace("TABLE looks", "TABLE t"))
        before = rows(db, "SELECT name FROM sqlite_schema")
        refused(db, "ALTER TABLE t RENAME TO looks", says="looks_content_delete")
        refused(db, "ALTER TABLE t RENAME TO views", says="views_queue")
        equal(rows(db, "SELECT name FROM sqlite_schema"), before)
        db.execute("INSERT INTO products(product_id, embedding) VALUES(1, zeroblob(16))")
        equal(rows(db, "SELECT rowid FROM t('[0,0,0,0]', 3)"), [(1,)])
