"""Shadow rows of a rec_model are untrusted: whatever is in them, a query answers as before or gives an error, and never crashes."""
import random, struct

from support import ALGORITHMS, end_of_times, equal, make_events, make_model, one, refused, resealed, rows, trained_blob

QUESTIONS = ("SELECT item, score, because FROM m WHERE user = 7 AND k = 5", "SELECT item, score FROM m WHERE user = 7", "SELECT user, item, score FROM m WHERE k = 2", "SELECT item FROM m WHERE basket = '[2,3]' AND k = 3",
             "SELECT rank FROM m WHERE user = 7 AND item = 3", "SELECT * FROM rec_versions", "SELECT * FROM rec_training_log", "SELECT * FROM rec_models", "SELECT * FROM rec_deployments")


def answers(db):
    given = []
    for question in QUESTIONS:
        try:
            given.append(rows(db, question))
        except Exception as error:
            assert str(error), question
            given.append(None)
    return given


def test_flipped_bits_of_a_stored_version_are_found_by_queries(shop):
    draw = random.Random(21)
    for algorithm in ALGORITHMS:
        db = shop.connect(f"{algorithm}.db")
        make_events(db)
        make_model(db, algorithm=algorithm)
        expected = answers(db)
        assert None not in expected
        chunk = one(db, "SELECT data FROM m_chunks")
        checked = end_of_times(chunk) - 16 - 24 * one(db, "SELECT count(*) FROM rec_training_log")  # the times have no checksum
        db.close()
        for _ in range(60):
            db = shop.connect(f"{algorithm}.db")  # a new connection, so that nothing is in its hands yet
            db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS i USING rec_index(e float[1])")
            db.execute("INSERT INTO i(i) VALUES('drop-cache')")
            bad = bytearray(chunk)
            bad[draw.randrange(checked)] ^= 1 << draw.randrange(8)
            db.execute("BEGIN")
            db.execute("UPDATE m_chunks SET data = ?", (bytes(bad),))
            refused(db, QUESTIONS[0], says="rec_model m: version 1: ")
            refused(db, "INSERT INTO m(m) VALUES('integrity-check')", says="version 1")
            refused(db, "INSERT INTO m(m, arg) VALUES('activate', 1)", says="version 1")
            db.execute("ROLLBACK")
            equal(answers(db), expected)
            db.close()


def test_damaged_rows_never_crash(shop):
    sha = "0123456789abcdef" * 4
    damage = ["UPDATE m_versions SET sha256 = NULL", "UPDATE m_versions SET sha256 = ''", f"UPDATE m_versions SET sha256 = '{sha}'", f"UPDATE m_versions SET sha256 = upper(sha256)", "UPDATE m_versions SET sha256 = hex(zeroblob(32)) || 'x'",
              "UPDATE m_versions SET sha256 = replace(sha256, 'a', 'z')", "UPDATE m_versions SET sha256 = substr(sha256, 2) || 'é'", "UPDATE m_versions SET sha256 = CAST(sha256 AS BLOB)", "UPDATE m_versions SET sha256 = zeroblob(64)", "UPDATE m_versions SET bytes = 1",
              "UPDATE m_versions SET log = NULL", "UPDATE m_versions SET log = '[[1,2'", "UPDATE m_versions SET log = '[1,{},null,[],[\"x\",1]]'", "UPDATE m_versions SET log = '{}'", "UPDATE m_versions SET version = 5", "UPDATE m_versions SET version = -1", "UPDATE m_versions SET algorithm = 'x', options = 'x'",
              "DELETE FROM m_versions", "DELETE FROM m_chunks", "DELETE FROM m_deployments", "UPDATE m_deployments SET version = 99", "UPDATE m_deployments SET version = 'x'", "UPDATE m_deployments SET version = NULL", "UPDATE m_deployments SET version = -9223372036854775808",
              "UPDATE m_chunks SET data = NULL", "UPDATE m_chunks SET data = 'text'", "UPDATE m_chunks SET data = 7", "UPDATE m_chunks SET data = zeroblob(0)", "UPDATE m_chunks SET data = zeroblob(length(data))", "UPDATE m_chunks SET data = data || data", "UPDATE m_chunks SET chunk = chunk + 1", "UPDATE m_chunks SET chunk = 0",
              "INSERT INTO m_chunks SELECT chunk + 1, version, data FROM m_chunks", "UPDATE m_chunks SET data = substr(data, 1, length(data) - 1)", "UPDATE m_chunks SET data = substr(data, 1, 40)", "UPDATE m_chunks SET data = substr(data, 2)",
              "DELETE FROM m_config", "UPDATE m_config SET value = 'nosuch' WHERE key = 'events'", "UPDATE m_config SET value = NULL", "UPDATE m_config SET value = 'ease' WHERE key = 'algorithm'", "INSERT INTO m_config VALUES('factors', '3')", "INSERT INTO m_config VALUES('nosuch', '3')",
              "DELETE FROM m_config WHERE key = 'user'", "UPDATE m_config SET value = 'TEXT) HIDDEN' WHERE key = 'user_type'", "UPDATE m_config SET value = '' WHERE key LIKE '%_type'",
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO m_config SELECT 'key' || i, i FROM n", "DROP TABLE m_versions", "DROP TABLE m_chunks", "DROP TABLE m_deployments", "DROP TABLE m_config"]
    for number, sql in enumerate(damage):
        db = shop.connect(f"{number}.db")
        make_events(db, users=9)
        make_model(db)
        answers(db)
        db.execute(sql)
        answers(db)  # on the connection that has the version in memory
        db.close()
        db = shop.connect(f"{number}.db")
        answers(db)
        for command in ("'integrity-check', NULL", "'activate', 1", "'rollback', NULL", "'train', NULL", "'drop-version', 1"):
            try:
                db.execute(f"INSERT INTO m(m, arg) VALUES({command})")
            except Exception as error:
                assert str(error), sql
        db.close()


def test_what_integrity_check_finds(shop):
    for sql in ("UPDATE m_versions SET sha256 = NULL", "UPDATE m_versions SET sha256 = replace(sha256, substr(sha256, 1, 1), 'z')", "UPDATE m_versions SET bytes = 1", "DELETE FROM m_chunks", "UPDATE m_chunks SET data = substr(data, 1, length(data) - 1)",
                "UPDATE m_chunks SET data = data || x'00'", "UPDATE m_deployments SET version = 99", "DELETE FROM m_versions"):
        db = shop.connect()
        make_events(db)
        make_model(db)
        db.execute("INSERT INTO m(m) VALUES('integrity-check')")
        db.execute(sql)
        refused(db, "INSERT INTO m(m) VALUES('integrity-check')", says=("rec_model m", "integrity-check"))


def test_counts_that_claim_more_than_there_is(shop):
    # every aligned word of the head as a huge count, with the checksum mended: refused before anything of that size is allocated
    for algorithm in ALGORITHMS:
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        blob, end = trained_blob(db)
        for at in list(range(8, min(end, 400))) + list(range(400, end - 8, 97)):
            for value in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\x80"):
                bad = bytearray(blob)
                bad[at:at + len(value)] = value
                try:
                    db.execute("INSERT INTO m(m, arg, options) VALUES('load', ?, '{\"activate\":\"never\"}')", (resealed(bad, end),))
                except MemoryError:
                    raise AssertionError(f"{algorithm}: byte {at} as {value.hex()} asks for memory that is not there")
                except Exception as error:
                    assert "load: " in str(error), f"{algorithm} {at}: {error}"


def test_a_blob_of_noise_is_no_version(shop):
    draw = random.Random(2)
    db = shop.connect()
    make_events(db)
    make_model(db)
    head = one(db, "SELECT substr(rec_train('m'), 1, 40)")
    for length in (0, 1, 7, 8, 9, 40, 100, 5000, 100000):
        for blob in (draw.randbytes(length), (head + draw.randbytes(length))[:max(length, 8)], bytes(length), b"RECMODEL" + struct.pack("<I", 1) + bytes(length)):
            refused(db, "INSERT INTO m(m, arg) VALUES('load', ?)", blob, says=("rec_model m", "load"))
    equal(rows(db, "SELECT version FROM rec_versions"), [(1,)])


def test_a_version_whose_row_a_trigger_swallows_or_changes_is_neither_stored_nor_served(shop):
    """What is stored is looked at again, the row as well as the chunks, before it counts."""
    for trigger, says in (
        ("BEFORE INSERT ON {} BEGIN SELECT RAISE(IGNORE); END", "there is no version"),
        ("AFTER INSERT ON {0} BEGIN UPDATE {0} SET sha256 = '" + 64 * "0" + "'; END", "not those that were"),
    ):
        db = shop.connect()
        make_events(db)
        make_model(db)
        before = rows(db, "SELECT item, score FROM m WHERE user = 1 AND k = 5")
        blob = one(db, "SELECT rec_train('m')")
        db.execute("CREATE TRIGGER laid " + trigger.format("m_versions"))
        refused(db, "INSERT INTO m(m) VALUES('train')", says=says)
        refused(db, "INSERT INTO m(m, arg) VALUES('load', ?)", blob, says=says)
        equal(rows(db, "SELECT version FROM rec_deployments"), [(1,)])
        db.execute("DROP TRIGGER laid")
        equal(rows(db, "SELECT item, score FROM m WHERE user = 1 AND k = 5"), before)


def test_times_that_are_no_numbers_are_refused(shop):
    """They stand behind the checksum, so that anybody can change them."""
    db = shop.connect()
    make_events(db)
    make_model(db)
    blob = one(db, "SELECT rec_train('m')")
    for value in (float("nan"), float("inf")):
        at = end_of_times(blob) - 16
        bad = blob[:at] + struct.pack("<d", value) + blob[at + 8:]
        refused(db, "INSERT INTO m(m, arg) VALUES('load', ?)", bad, says="malformed training log")
