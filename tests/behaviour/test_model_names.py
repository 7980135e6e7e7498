"""A rec_model's names: renames that are rolled back or refused, odd names and columns, tables that go away, other schemas."""
import sqlite3

from support import equal, make_events, make_model, one, refused, rows, same_rows, shadow


def trained(shop, name="shop.db"):
    db = shop.connect(name)
    make_events(db)
    make_model(db)
    return db, rows(db, "SELECT item, score FROM m(7, 5)")


def test_a_rename_that_is_rolled_back(shop):
    db, before = trained(shop)
    for begin, back in (("BEGIN", "ROLLBACK"), ("SAVEPOINT s", "ROLLBACK TO s; RELEASE s")):
        db.execute(begin)
        db.execute("ALTER TABLE m RENAME TO renamed")
        equal(rows(db, "SELECT item, score FROM renamed(7, 5)"), before)
        db.execute("INSERT INTO renamed(renamed) VALUES('train')")
        for sql in back.split("; "):
            db.execute(sql)
        equal(rows(db, "SELECT item, score FROM m(7, 5)"), before, begin)
        refused(db, "SELECT * FROM renamed(7, 5)", says="no such table")
    equal([row[0] for row in rows(db, "SELECT version FROM rec_versions")], [1])


def test_a_rename_that_is_refused_changes_nothing(shop):
    db, before = trained(shop)
    db.execute("CREATE TABLE other_versions(x)")
    for begin in (None, "BEGIN"):
        schema = rows(db, "SELECT name FROM sqlite_schema")
        if begin:
            db.execute(begin)
        refused(db, "ALTER TABLE m RENAME TO other", says="other_versions")
        for name in ("user", "item", "RANK", "k", "because", "version", "rowid"):
            refused(db, f"ALTER TABLE m RENAME TO {name}", says="one of its columns")
        equal(rows(db, "SELECT name FROM sqlite_schema"), schema)
        equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
    db.execute("COMMIT")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(one(db, "SELECT version FROM m(7, 1)"), 2)


def test_a_drop_that_is_rolled_back(shop):
    db, before = trained(shop)
    db.execute("BEGIN")
    db.execute("DROP TABLE m")
    db.execute("ROLLBACK")
    equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)


def test_odd_names_of_models_tables_and_columns(shop):
    for name in ('my "recs"', "o'recs", "%s %d %n", "a.b", "日本", "select", "m;--"):
        db = shop.connect()
        quoted = '"' + name.replace('"', '""') + '"'
        db.execute('CREATE TABLE "ev t%s"("u x" INTEGER, "i""y" TEXT, "w\'t" REAL, "select" TEXT)')
        db.execute("""INSERT INTO "ev t%s" VALUES(1, 'a', 1, '2024-01-01'), (2, 'a', 1, '2024-01-02'), (2, 'b', 1, '2024-01-03 10:00')""")
        db.execute(f"""CREATE VIRTUAL TABLE {quoted} USING rec_model(events="ev t%s", user='u x', item="i""y", weight=[w't], time=`select`)""")
        db.execute(f"INSERT INTO {quoted}({quoted}) VALUES('train')")
        equal(rows(db, f"SELECT item FROM {quoted}(1, 2)"), [("b",)], name)
        equal(rows(db, "SELECT model, events FROM rec_models"), [(name, "ev t%s")])
        assert one(db, "SELECT length(rec_train(?))", name) > 50
        db.execute(f"ALTER TABLE {quoted} RENAME TO \"n'\"\"\"")
        equal(rows(db, "SELECT item FROM \"n'\"\"\"(1, 2)"), [("b",)], name)
        db.execute("DROP TABLE \"n'\"\"\"")
        equal(rows(db, "SELECT name FROM sqlite_schema"), [("ev t%s",)])


def test_events_that_go_away_are_named_and_the_version_stays(shop):
    db, before = trained(shop)
    for away, back, says in (("ALTER TABLE events RENAME TO gone", "ALTER TABLE gone RENAME TO events", "main.events"), ("ALTER TABLE events RENAME COLUMN n TO gone", "ALTER TABLE events RENAME COLUMN gone TO n", "n")):
        db.execute(away)
        kept = shadow(db, "m")
        for sql in ("SELECT * FROM m(7, 5)", "SELECT * FROM m WHERE k = 1", "INSERT INTO m(m) VALUES('train')", "SELECT rec_train('m')"):
            refused(db, sql, says=says)
        equal(shadow(db, "m"), kept)
        equal(len(rows(db, "SELECT * FROM rec_models")), 1, "the list of models can still be read")
        db.execute(back)
        equal(rows(db, "SELECT item, score FROM m(7, 5)"), before, "and all is well again")


def test_a_table_in_another_schema_never_takes_the_events_place(shop):
    db, before = trained(shop)
    db.execute("CREATE TEMP TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("INSERT INTO temp.events VALUES(7, 1, 1, 1), (7, 2, 1, 1)")
    equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
    db.execute("CREATE VIRTUAL TABLE temp.mine USING rec_model(events=events, user=user, item=item)")
    db.execute("INSERT INTO mine(mine) VALUES('train')")
    equal(rows(db, "SELECT item FROM mine(99, 5)"), [(1,), (2,)])
    db.execute("DROP TABLE temp.events")
    refused(db, "SELECT * FROM mine(99, 5)", says="temp.events")
    refused(db, "CREATE VIRTUAL TABLE temp.x USING rec_model(events=events, user=user, item=item)", says=("'events'", "temp"))


def test_models_of_the_same_name_in_two_databases_are_two(shop):
    db, before = trained(shop)
    db.execute("ATTACH ? AS aux", (shop.path("aux.db"),))
    db.execute("CREATE TABLE aux.events AS SELECT user, item + 1000 AS item, n, t FROM main.events")
    db.execute("CREATE VIRTUAL TABLE aux.m USING rec_model(events=events, user=user, item=item, weight=n, time=t)")
    db.execute("INSERT INTO aux.m(m) VALUES('train')")
    equal(rows(db, "SELECT item - 1000, score FROM aux.m(7, 5)"), before)
    equal(rows(db, "SELECT item, score FROM main.m(7, 5)"), before)
    same_rows(rows(db, "SELECT schema, model FROM rec_models"), [("main", "m"), ("aux", "m")])
    db.execute("INSERT INTO aux.m(m, arg) SELECT 'load', rec_train('main.m')")  # a version moves between databases
    equal(rows(db, "SELECT item FROM aux.m WHERE user = 999 AND k = 3"), rows(db, "SELECT item FROM main.m WHERE user = 999 AND k = 3"))
    db.execute("DETACH aux")
    db.close()
    db = shop.connect("aux.db")
    equal(len(rows(db, "SELECT item FROM m(7, 5)")), 5)


def test_a_view_filters_and_weights_the_events(shop):
    db = shop.connect()
    db.execute("CREATE TABLE log(who INTEGER, what TEXT, kind TEXT)")
    db.execute("INSERT INTO log VALUES(1, 'a', 'view'), (1, 'b', 'buy'), (2, 'b', 'buy'), (2, 'c', 'view'), (3, 'd', 'error'), (NULL, 'e', 'view')")
    db.execute("CREATE VIEW ev AS SELECT who, what, CASE kind WHEN 'buy' THEN 5 ELSE 1 END AS w FROM log WHERE kind <> 'error' AND who IS NOT NULL")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=who, item=what, weight=w)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(rows(db, "SELECT events, users, items FROM rec_versions"), [(4, 2, 3)])
    equal(rows(db, "SELECT item FROM m WHERE user = 1"), [("c",)])
    equal(rows(db, "SELECT typeof(user), typeof(item) FROM m WHERE user = '1'"), [("integer", "text")], "types go through a simple view")


def test_models_that_read_each_other_end_in_an_error(shop):
    db = shop.connect()
    for name in ("a", "b"):
        db.execute(f"CREATE TABLE ev_{name}(user INTEGER, item INTEGER)")
        db.execute(f"INSERT INTO ev_{name} VALUES(1, 1), (2, 1), (2, 2)")
        db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_model(events=ev_{name}, user=user, item=item)")
        db.execute(f"INSERT INTO {name}({name}) VALUES('train')")
    for name, other in (("a", "b"), ("b", "a")):
        db.execute(f"DROP TABLE ev_{name}")
        db.execute(f"CREATE VIEW ev_{name} AS SELECT 1 AS user, item FROM {other} WHERE user = 1 AND k = 3")
    for sql in ("SELECT * FROM a(1, 3)", "SELECT * FROM b(1, 3)", "SELECT * FROM a WHERE k = 1", "INSERT INTO a(a) VALUES('train')", "SELECT rec_train('b')"):
        refused(db, sql, says="it is in use by itself")


def test_a_damaged_model_does_not_hide_the_others(shop):
    db, _ = trained(shop)
    make_model(db, "other")
    db.execute("DELETE FROM m_config WHERE key = 'format'")
    equal(len(rows(db, "SELECT item FROM other(7, 5)")), 5)
    for table in ("rec_models", "rec_versions"):
        try:
            equal([model for model, in rows(db, f"SELECT model FROM {table} WHERE model = 'other'")], ["other"])
        except sqlite3.Error as error:
            assert "rec_model m" in str(error) or "m_config" in str(error), f"{table} says which model is damaged: {error}"


def test_a_newer_format_is_refused_by_name(shop):
    db, _ = trained(shop)
    db.execute("UPDATE m_config SET value = 2 WHERE key = 'format'")
    db.close()
    db = shop.connect("shop.db")
    refused(db, "SELECT * FROM m(7, 5)", says=("format 2", "reads 1"))


def test_the_database_can_be_copied_without_the_extension_and_dumped(shop):
    db, before = trained(shop)
    plain, copy = sqlite3.connect(shop.path()), sqlite3.connect(shop.path("copy.db"))
    plain.backup(copy)
    plain.execute("INSERT INTO events VALUES(7, 3, 1, 5000)")  # programs without the extension go on
    plain.rollback()
    copy.close()
    db = shop.connect("copy.db")
    equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
    db.execute("INSERT INTO m(m) VALUES('integrity-check')")
