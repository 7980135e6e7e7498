"""The life of a text encoder: made, loaded, renamed, replaced, damaged, dropped; who may load; what trigger, second connection and
model see of it; interrupts."""
import hashlib, json, os, re, shutil, sqlite3, subprocess, threading

import support
from support import equal, one, refused, rows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINY = os.path.join(ROOT, "tests", "golden", "text_encoder")


def make(db, name="tiny", options=""):
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_encoder({options})")
    db.execute(f"INSERT INTO {name}({name}, arg) VALUES('load', ?)", (TINY,))


def test_life(shop):
    db = shop.connect("a.db")
    db.execute("CREATE VIRTUAL TABLE tiny USING rec_encoder")
    equal(rows(db, "SELECT * FROM tiny"), [])
    refused(db, "SELECT rec_embed('tiny', 'x')", says="is empty")
    db.execute("INSERT INTO tiny(tiny, arg) VALUES('load', ?)", (TINY,))
    vector = one(db, "SELECT rec_embed('tiny', 'heart lantern')")
    equal(len(vector), 4 * 32)
    equal(one(db, "SELECT rec_embed('tiny', NULL)"), None)
    equal(one(db, "SELECT rec_embed('main.tiny', 'heart lantern')"), vector)
    other = shop.connect("a.db")
    equal(one(other, "SELECT rec_embed('tiny', 'heart lantern')"), vector)
    db.execute("ALTER TABLE tiny RENAME TO small")
    equal(one(db, "SELECT rec_embed('small', 'heart lantern')"), vector)
    refused(db, "SELECT rec_embed('tiny', 'x')", says="no rec_encoder named 'tiny'")
    db.execute("INSERT INTO small(small) VALUES('integrity-check')")
    db.execute("DROP TABLE small")
    equal(rows(db, "SELECT name FROM sqlite_schema"), [])
    refused(other, "SELECT rec_embed('small', 'x')", says="no rec_encoder named 'small'")


def test_what_is_no_command_is_refused(shop):
    db = shop.connect()
    make(db)
    for sql, word in (("INSERT INTO tiny(source) VALUES('x')", "its row says what is loaded"), ("DELETE FROM tiny", "its row says"), ("UPDATE tiny SET dim = 3", "its row says"),
                      ("INSERT INTO tiny(tiny) VALUES('fly')", "unknown command 'fly'"), ("INSERT INTO tiny(tiny) VALUES('load')", "the folder"),
                      ("INSERT INTO tiny(tiny, arg) VALUES('load', '')", "the folder"), ("INSERT INTO tiny(tiny, dim) VALUES('integrity-check', 3)", "takes no dim"),
                      ("CREATE VIRTUAL TABLE b USING rec_encoder(storage=tiny)", "storage"), ("CREATE VIRTUAL TABLE b USING rec_encoder(size=3)", "unknown option 'size'"),
                      ("CREATE VIRTUAL TABLE b USING rec_encoder(length=9999)", "length"), ("SELECT rec_embed(NULL, 'x')", "NULL"),
                      ("SELECT * FROM rec_text_vectors('tiny', 'nowhere', 'a', 'b')", "no table named 'nowhere'")):
        refused(db, sql, says=word)
    equal(one(db, "SELECT count(*) FROM tiny"), 1)


def test_a_failed_load_leaves_what_was_there(shop):
    db = shop.connect("a.db")
    make(db)
    before = one(db, "SELECT sha256 FROM tiny")
    for inside in (False, True):
        if inside:
            db.execute("BEGIN")
        refused(db, "INSERT INTO tiny(tiny, arg) VALUES('load', '/nowhere')", says="config.json")
        if inside:
            db.execute("COMMIT")
        equal(one(db, "SELECT sha256 FROM tiny"), before)


def test_a_load_that_cannot_be_stored_leaves_what_was_there(shop):
    """A trigger on the rows stops the new ones, in the middle of a transaction that is kept."""
    db = shop.connect("a.db")
    make(db)
    before, vector = rows(db, "SELECT * FROM tiny"), one(db, "SELECT rec_embed('tiny', 'lantern')")
    db.execute("CREATE TRIGGER full BEFORE INSERT ON tiny_weights BEGIN SELECT raise(ABORT, 'no room'); END")
    db.execute("BEGIN")
    refused(db, "INSERT INTO tiny(tiny, arg) VALUES('load', ?)", TINY, says="no room")
    db.execute("COMMIT")
    db.execute("DROP TRIGGER full")
    equal(rows(db, "SELECT * FROM tiny"), before)
    equal(one(shop.connect("a.db"), "SELECT rec_embed('tiny', 'lantern')"), vector)
    for _ in range(3):
        db.execute("INSERT INTO tiny(tiny, arg) VALUES('load', ?)", (TINY,))
    equal(rows(db, "SELECT * FROM tiny"), before, "rows of earlier loads go")


def test_an_encoder_that_reads_itself_is_refused(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE temp.e USING rec_encoder")
    db.execute("INSERT INTO temp.e_config VALUES('sha256', 'x')")
    db.execute("DROP TABLE temp.e_weights")
    db.execute("CREATE TEMP VIEW e_weights AS SELECT 0 AS chunk, source AS data FROM e")
    refused(db, "SELECT * FROM e", says="in use by itself")


def test_a_stored_definition_that_lies_is_refused(shop):
    """encoder= without texts, or with vectors of their own, written into the rows of a model."""
    for change in ("DELETE FROM m_config WHERE key = 'item_text'", "INSERT INTO m_config VALUES('item_vector', 'v')"):
        path = f"{len(change)}.db"
        db = shop.connect(path)
        make(db)
        db.execute("CREATE TABLE products(code TEXT PRIMARY KEY, title TEXT, v BLOB)")
        db.execute("INSERT INTO products VALUES('a', 'cat', '[1]')")
        db.execute("CREATE TABLE sales(user, code)")
        db.execute("INSERT INTO sales VALUES(1, 'a')")
        db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=sales, user=user, item=code, items=products, item_key=code, item_text=title, encoder=tiny, algorithm=content)")
        db.execute(change)
        db.close()
        refused(shop.connect(path), "INSERT INTO m(m) VALUES('train')", says="encoder= makes the vectors")


def test_a_load_is_of_its_transaction(shop):
    db, other = shop.connect("a.db"), shop.connect("a.db")
    make(db)
    whole = one(db, "SELECT rec_embed('tiny', 'lantern')")
    folder = os.path.join(shop.folder, "first")
    shutil.copytree(TINY, folder)
    with open(os.path.join(folder, "1_Pooling", "config.json"), "w") as file:
        json.dump({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, file)
    db.execute("BEGIN")
    db.execute("INSERT INTO tiny(tiny, arg) VALUES('load', ?)", (folder,))
    first = one(db, "SELECT rec_embed('tiny', 'lantern')")
    assert first != whole
    equal(one(other, "SELECT rec_embed('tiny', 'lantern')"), whole)
    db.execute("ROLLBACK")
    equal(one(db, "SELECT rec_embed('tiny', 'lantern')"), whole)
    db.execute("INSERT INTO tiny(tiny, arg) VALUES('load', ?)", (folder,))
    equal(one(other, "SELECT rec_embed('tiny', 'lantern')"), first)


def test_damage_is_found(shop):
    for place, (change, word) in enumerate((
            ("UPDATE tiny_weights SET data = CAST(substr(data, 1, 5000) || x'00' || substr(data, 5002) AS BLOB)", "encoder"),
            ("UPDATE tiny_weights SET data = substr(data, 1, 3000)", "truncated"), ("DELETE FROM tiny_weights", "encoder"),
            ("UPDATE tiny_weights SET data = x''", "encoder"), ("UPDATE tiny_config SET value = 7 WHERE key = 'format'", "format 7"),
            ("UPDATE tiny_config SET value = 'x' WHERE key = 'sha256'", "digest"),
            ("UPDATE tiny_config SET value = iif(value LIKE '0%', '1', '0') || substr(value, 2) WHERE key = 'sha256'", "not the one that was loaded"))):
        path = f"{place}.db"
        db = shop.connect(path)
        make(db, options=f"length={3 + place}")  # a content of its own: the process keeps what it has read
        db.execute(change)
        db.close()
        db = shop.connect(path)
        refused(db, "SELECT rec_embed('tiny', 'x')", says=word)


def test_a_stored_encoder_that_lies_is_refused(shop):
    """Numbers of the header are changed, and the digest is mended."""
    db = shop.connect()
    make(db)
    data = b"".join(d for d, in rows(db, "SELECT data FROM tiny_weights ORDER BY chunk"))
    for at, value in [(12 + 4 * i, v) for i in range(8) for v in (0, 1, 17, 2 ** 31, 2 ** 32 - 1)]:
        body = bytearray(data[:-32])
        body[at:at + 4] = value.to_bytes(4, "little")
        digest = hashlib.sha256(body).digest()
        db.execute("DELETE FROM tiny_weights")
        db.execute("INSERT INTO tiny_weights VALUES(0, ?)", (bytes(body) + digest,))
        db.execute("UPDATE tiny_config SET value = ? WHERE key = 'sha256'", (digest.hex(),))
        try:
            equal(len(one(db, "SELECT rec_embed('tiny', 'a heart lantern that is long')")), 128)
        except sqlite3.Error as error:
            assert re.search("encoder|vectors of|heads|layer|vocabulary|tokens", str(error)), error


def test_weights_that_are_no_numbers_are_found(shop):
    db = shop.connect()
    make(db)
    data = b"".join(d for d, in rows(db, "SELECT data FROM tiny_weights ORDER BY chunk"))
    body = data[:-32 - 4096] + b"\xff" * 4096
    digest = hashlib.sha256(body).digest()
    db.execute("DELETE FROM tiny_weights")
    db.execute("INSERT INTO tiny_weights VALUES(0, ?)", (body + digest,))
    db.execute("UPDATE tiny_config SET value = ? WHERE key = 'sha256'", (digest.hex(),))
    refused(db, "SELECT rec_embed('tiny', 'x')", says="no number")


def test_who_may_load(shop):
    db = shop.connect("a.db")
    make(db)
    db.execute("CREATE TABLE t(x)")
    db.execute(f"CREATE TRIGGER sneaky AFTER INSERT ON t BEGIN INSERT INTO tiny(tiny, arg) VALUES('load', '{TINY}'); END")
    refused(db, "INSERT INTO t VALUES(1)", says="unsafe use")
    db.execute("SELECT rec_serving_only()").fetchall()
    refused(db, "INSERT INTO tiny(tiny, arg) VALUES('load', ?)", TINY, says="serving")
    equal(len(one(db, "SELECT rec_embed('tiny', 'x')")), 128)


def test_a_trigger_keeps_an_index_up_to_date(shop):
    db = shop.connect()
    make(db)
    db.execute("CREATE TABLE products(code TEXT PRIMARY KEY, title TEXT)")
    db.execute("CREATE VIRTUAL TABLE things USING rec_index(embedding float[32], metric=cosine)")
    db.execute("CREATE TRIGGER listed AFTER INSERT ON products BEGIN INSERT INTO things(rowid, embedding) VALUES(new.rowid, rec_embed('tiny', new.title)); END")
    db.execute("INSERT INTO products VALUES('a', 'heart lantern'), ('b', 'cats'), ('c', 'metal lantern')")
    equal(one(db, "SELECT p.code FROM things t JOIN products p ON p.rowid = t.rowid WHERE embedding MATCH rec_embed('tiny', 'HEART lantern') AND k = 1"), "a")
    db.execute("PRAGMA trusted_schema = 0")
    refused(db, "INSERT INTO products VALUES('d', 'two cats')", says="unsafe use")


def test_content_by_meaning(shop):
    """Vectors are those of the texts; a product without one has none; the names of others are refused."""
    db = shop.connect("a.db")
    make(db)
    db.execute("CREATE TABLE products(code TEXT PRIMARY KEY, title TEXT, v BLOB)")
    db.executemany("INSERT INTO products(code, title) VALUES(?, ?)", [("a", "heart lantern"), ("b", "cats"), ("c", None), ("d", "metal lantern")])
    db.execute("CREATE TABLE sales(user, code)")
    db.execute("INSERT INTO sales VALUES(1, 'a'), (2, 'b')")
    create = "CREATE VIRTUAL TABLE m USING rec_model(events=sales, user=user, item=code, items=products, item_key=code, {}, algorithm=content)"
    for text in ("encoder=tiny", "item_text=title, item_vector=v, encoder=tiny", "item_vector=v, encoder=tiny"):
        refused(db, create.format(text), says="encoder= makes the vectors")
    db.execute(create.format("item_text=title, encoder=other"))
    refused(db, "INSERT INTO m(m) VALUES('train')", says="no rec_encoder named 'other' in schema main")
    db.execute("DROP TABLE m")
    db.execute(create.format("item_text=title, encoder=tiny"))
    for _ in range(2):  # the second time from what is kept
        db.execute("INSERT INTO m(m) VALUES('train')")
    equal(len({sha for sha, in rows(db, "SELECT sha256 FROM rec_versions WHERE model = 'm'")}), 1)
    got = dict(rows(db, "SELECT item, rec_vec_json(vector) FROM rec_item_vectors('m')"))
    for code, title in rows(db, "SELECT code, title FROM products"):
        want = json.loads(one(db, "SELECT rec_vec_json(rec_embed('tiny', ?))", title)) if title else [0] * 32
        for x, y in zip(json.loads(got[code]), want):
            assert abs(x - y) < 1e-6, (code, x, y)
    words = "SELECT score FROM m WHERE user = 1 AND k = 9 AND item = 'd'"
    assert one(db, words) > 0
    db.execute("DROP TABLE tiny")
    assert one(db, words) > 0  # lists need no encoder


def test_an_attached_file_has_its_own(shop):
    db = shop.connect("a.db")
    make(db)
    db.execute("ATTACH ? AS other", (shop.path("b.db"),))
    db.execute("CREATE VIRTUAL TABLE other.tiny USING rec_encoder(storage=int8)")
    refused(db, "SELECT rec_embed('other.tiny', 'x')", says="is empty")
    db.execute("INSERT INTO other.tiny(tiny, arg) VALUES('load', ?)", (TINY,))
    equal(rows(db, "SELECT storage FROM main.tiny UNION ALL SELECT storage FROM other.tiny"), [("float",), ("int8",)])
    assert one(db, "SELECT rec_embed('main.tiny', 'x')") != one(db, "SELECT rec_embed('other.tiny', 'x')")
    equal(one(db, "SELECT rec_embed('tiny', 'x')"), one(db, "SELECT rec_embed('main.tiny', 'x')"))


def test_same_bits_on_every_level_and_any_threads(shop):
    """REC_SIMD picks the kernels; the batch is cut by its texts and not by threads."""
    db = shop.connect("a.db")
    make(db, options="storage=half")
    make(db, "eight", "storage=int8")
    db.execute("CREATE TABLE texts(id INTEGER PRIMARY KEY, t)")
    db.executemany("INSERT INTO texts(t) VALUES(?)", [("lantern " * (i % 20) + "two cats",) for i in range(300)])
    ask = "SELECT hex(rec_vec_sum(vector)) || (SELECT hex(rec_vec_sum(vector)) FROM rec_text_vectors('eight', 'texts', 'id', 't')) FROM rec_text_vectors('tiny', 'texts', 'id', 't')"
    answers = set()
    for level in ("scalar", "avx2", "avx512", ""):
        for cores in ("0", "0,1"):
            done = subprocess.run(["taskset", "-c", cores, "sqlite3", "-init", "/dev/null", shop.path("a.db"), f".load {support.EXTENSION}", ask], capture_output=True, text=True,
                                  env={**os.environ, "REC_SIMD": level})
            equal(done.stderr, "")
            answers.add(done.stdout)
    equal(len(answers), 1)


def test_a_batch_stops_when_it_is_interrupted(shop):
    db = shop.connect("a.db")
    make(db)
    many = "SELECT count(*) FROM rec_text_vectors('tiny', 'many', 'i', 't')"
    db.execute("CREATE VIEW many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT i, 'heart lantern ' || i AS t FROM n")
    timer = threading.Timer(.3, db.interrupt)
    timer.start()
    refused(db, many, says="interrupt")
    timer.join()
    equal(rows(db, "SELECT * FROM rec_progress"), [])
