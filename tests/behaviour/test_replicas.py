"""Copies that serve and train while the primary changes: backup API, VACUUM INTO, file and WAL together; shards that are attached."""
import shutil
import sqlite3
import threading

from support import EXTENSION, equal, one, refused, rows

LIST = "SELECT user, item, rank, round(score, 9) FROM recs WHERE k = 5 AND options = '{\"exclude_seen\": false}' ORDER BY user, rank"


def make(db, n=3000, table="sales"):
    db.execute(f"CREATE TABLE {table}(customer INTEGER, product TEXT, at INTEGER)")
    db.executemany(f"INSERT INTO {table} VALUES(?, ?, ?)", [(i * 7919 % 60, f"p{(i * 31 + i // 60) % 40}", i) for i in range(n)])
    db.execute(f"CREATE VIRTUAL TABLE recs USING rec_model(events={table}, user=customer, item=product, time=at, algorithm=item_knn, keep=3)")
    db.execute("INSERT INTO recs(recs) VALUES('train')")


def read_only(shop, name):
    db = sqlite3.connect(f"file:{shop.path(name)}?mode=ro&immutable=1", uri=True, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def test_a_copy_serves_while_the_primary_changes(shop):
    primary = shop.connect("primary.db")
    primary.execute("PRAGMA journal_mode = WAL")
    make(primary)
    stop, failed = threading.Event(), []

    def change():
        try:
            db = shop.connect("primary.db")
            db.execute("PRAGMA busy_timeout = 10000")
            at = 10000
            while not stop.is_set():
                at += 1
                db.execute("INSERT INTO sales VALUES(?, ?, ?)", (at % 60, f"p{at % 41}", at))
                if at % 20 == 0:
                    db.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", ('{"algorithm": "ease"}' if at % 40 else '{"algorithm": "popular"}',))
        except Exception as error:  # told below
            failed.append(error)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for turn in range(8):
            name = f"copy{turn}.db"
            reader = shop.connect("primary.db")
            if turn % 2:
                reader.execute("PRAGMA busy_timeout = 10000")
                reader.execute("VACUUM INTO ?", (shop.path(name),))
                expected = None
            else:  # a snapshot that the reader holds: what it sees is what is copied
                reader.execute("BEGIN")
                expected = rows(reader, LIST), one(reader, "SELECT sha256 FROM rec_versions WHERE active")
                target = sqlite3.connect(shop.path(name))
                reader.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
                target.close()
                reader.execute("COMMIT")
            reader.close()
            copy = read_only(shop, name)
            equal(one(copy, "PRAGMA integrity_check"), "ok")
            got = rows(copy, LIST), one(copy, "SELECT sha256 FROM rec_versions WHERE active")
            assert len(got[0]) == 300, len(got[0])
            if expected:
                equal(got, expected, "the copy of a snapshot")
            refused(copy, "INSERT INTO recs(recs) VALUES('train')", says="readonly")
            copy.close()
    finally:
        stop.set()
        writer.join()
    equal(failed, [])


def test_pages_and_log_together_are_a_copy(shop):
    primary = shop.connect("primary.db")
    primary.execute("PRAGMA journal_mode = WAL")
    primary.execute("PRAGMA wal_autocheckpoint = 0")
    make(primary)
    primary.execute("INSERT INTO recs(recs, arg) VALUES('train', '{\"algorithm\": \"ease\"}')")
    primary.execute("BEGIN IMMEDIATE")  # nobody writes while the files are taken, as what ships them has it
    for end in ("", "-wal"):
        shutil.copy(shop.path("primary.db" + end), shop.path("restored.db" + end))
    primary.execute("COMMIT")
    restored = shop.connect("restored.db")
    equal(rows(restored, LIST), rows(primary, LIST))
    equal(rows(restored, "SELECT version, sha256, active FROM rec_versions"), rows(primary, "SELECT version, sha256, active FROM rec_versions"))
    restored.execute("INSERT INTO recs(recs) VALUES('integrity-check')")


def test_a_replica_trains_and_the_primary_loads(shop):
    primary = shop.connect("primary.db")
    make(primary)
    primary.execute("VACUUM INTO ?", (shop.path("replica.db"),))
    replica = read_only(shop, "replica.db")
    for algorithm in ("ease", "ials", "popular", "slim"):
        arg = f'{{"algorithm": "{algorithm}"}}'
        version = one(replica, "SELECT rec_train('recs', ?)", arg)
        primary.execute("INSERT INTO recs(recs, arg) VALUES('load', ?)", (version,))
        loaded = one(primary, "SELECT sha256 FROM rec_versions WHERE active")
        primary.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", (arg,))
        equal(one(primary, "SELECT sha256 FROM rec_versions WHERE active"), loaded, algorithm)
    refused(replica, "SELECT rec_tune('recs')", says="readonly")


def test_attached_shards_are_one_model(shop):
    whole = shop.connect("whole.db")
    make(whole)
    whole.execute("CREATE INDEX by_customer ON sales(customer)")
    shards = [shop.connect(f"shard{i}.db") for i in range(3)]
    for i, shard in enumerate(shards):
        shard.execute("CREATE TABLE sales(customer INTEGER, product TEXT, at INTEGER)")
        shard.executemany("INSERT INTO sales VALUES(?, ?, ?)", rows(whole, "SELECT * FROM sales WHERE customer % 3 = ?", i))
        shard.close()
    db = shop.connect("shard0.db")
    for i in (1, 2):
        db.execute(f"ATTACH ? AS shard{i}", (shop.path(f"shard{i}.db"),))
    db.execute("CREATE TEMP VIEW everywhere AS SELECT * FROM main.sales UNION ALL SELECT * FROM shard1.sales UNION ALL SELECT * FROM shard2.sales")
    db.execute("CREATE VIRTUAL TABLE temp.pooled USING rec_model(events=everywhere, user=customer, item=product, time=at)")
    db.execute("CREATE VIRTUAL TABLE main.recs USING rec_model(events=sales, user=customer, item=product, time=at)")
    for algorithm in ("item_knn", "ease", "ials"):
        arg = f'{{"algorithm": "{algorithm}"}}'
        whole.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", (arg,))
        db.execute("INSERT INTO recs(recs, arg) SELECT 'load', rec_train('temp.pooled', ?)", (arg,))
        equal(one(db, "SELECT sha256 FROM rec_versions WHERE model = 'recs' AND active"), one(whole, "SELECT sha256 FROM rec_versions WHERE active"), algorithm)
        own = rows(whole, "SELECT user, item, rank FROM recs WHERE user = 3 AND k = 5")
        equal(rows(db, "SELECT user, item, rank FROM main.recs WHERE user = 3 AND k = 5"), own, "her shard has her history")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE '%pooled%'"), [], "nothing of the training is in a file")
