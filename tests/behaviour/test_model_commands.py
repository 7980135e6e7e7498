"""The commands of a rec_model and the tables that list what there is."""
import json

from support import ALGORITHMS, PREDICTORS, equal, make_events, make_model, one, refused, rows, shadow


def test_a_number_is_never_given_twice(shop):
    db = shop.connect("shop.db")
    make_events(db)
    make_model(db)
    for expected in (2, 3):
        cursor = db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"activate\":\"never\"}')")
        equal(cursor.lastrowid, expected)
    db.execute("INSERT INTO m(m, arg) VALUES('drop-version', 3)")
    db.close()
    db = shop.connect("shop.db")
    equal(db.execute("INSERT INTO m(m) VALUES('train')").lastrowid, 4, "3 was dropped and stays so")
    db.execute("BEGIN")
    equal(db.execute("INSERT INTO m(m) VALUES('train')").lastrowid, 5)
    db.execute("ROLLBACK")
    equal(db.execute("INSERT INTO m(m) VALUES('train')").lastrowid, 5, "5 was never committed")


def test_a_version_is_what_was_trained_wherever_it_comes_from(shop):
    for algorithm in ALGORITHMS:
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        blob = one(db, "SELECT rec_train('m')")
        equal(one(db, "SELECT version FROM m(7, 1)"), 1, "rec_train only reads")
        db.execute("INSERT INTO m(m, arg, options) VALUES('load', ?, '{\"activate\":\"never\"}')", (blob,))
        equal(rows(db, "SELECT version, active FROM rec_versions"), [(1, 1), (2, 0)])
        db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (blob,))
        equal(rows(db, "SELECT version, active FROM rec_versions"), [(1, 0), (2, 0), (3, 1)])
        equal(len(rows(db, "SELECT DISTINCT algorithm, options, events, users, items, sha256 FROM rec_versions")), 1, algorithm)
        equal([row[1:] for row in rows(db, "SELECT deployment, version, action FROM rec_deployments")], [(1, "train"), (3, "load")])
        # into another database, whose events differ: the version is the same
        other = shop.connect()
        make_events(other, seed=9)
        make_model(other, algorithm=algorithm)
        other.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (blob,))
        equal(one(other, "SELECT sha256 FROM rec_versions WHERE active"), one(db, "SELECT sha256 FROM rec_versions WHERE active"))
        equal(rows(other, "SELECT item, score FROM m WHERE user = 999 AND k = 5"), rows(db, "SELECT item, score FROM m WHERE user = 999 AND k = 5"))


def test_options_hold_for_their_version_only(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="ials", more=", factors=12, reg=0.02")
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"factors\":8}')")
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"algorithm\":\"popular\",\"prior\":3}')")
    db.execute("INSERT INTO m(m) VALUES('train')")
    options = [json.loads(text) for text, in rows(db, "SELECT options FROM rec_versions")]
    equal([option.get("factors") for option in options], [12, 8, None, 12])
    equal([option.get("reg") for option in options], [0.02, 0.02, None, 0.02])
    equal(options[2]["prior"], 3)
    logged = rows(db, "SELECT version, count(*), min(seconds) >= 0 FROM rec_training_log GROUP BY version")
    assert logged and all(sane for _, _, sane in logged) and {1, 2, 4} <= {version for version, _, _ in logged}, logged
    for version in (1, 2):
        objective = [value for value, in rows(db, "SELECT objective FROM rec_training_log WHERE version = ?", version)]
        equal(objective, sorted(objective, reverse=True), "each half sweep of ials lowers its objective")


def test_every_option_of_every_algorithm_is_listed_and_accepted_at_its_own_default(shop):
    db = shop.connect()
    make_events(db)
    equal([name for name, in rows(db, "SELECT DISTINCT algorithm FROM rec_options ORDER BY 1")], sorted(ALGORITHMS + PREDICTORS + ("auto", "content", "predictor")))  # content needs a table of items: test_items_and_content.py
    for algorithm in ALGORITHMS:
        listed = rows(db, "SELECT option, type, range, initial, meaning FROM rec_options(?)", algorithm)
        equal(listed, rows(db, "SELECT option, type, range, initial, meaning FROM rec_options WHERE algorithm = ?", algorithm))
        assert all(meaning and range for _, _, range, _, meaning in listed)
        arguments = ", ".join(f"{option}='{initial}'" for option, _, _, initial, _ in listed)
        make_model(db, "a_" + algorithm, algorithm, more=", " + arguments)
        make_model(db, "b_" + algorithm, algorithm)
        equal(len(rows(db, "SELECT DISTINCT sha256 FROM rec_versions WHERE algorithm = ?", algorithm)), 1, f"{algorithm}: the defaults are the defaults")
        for option, kind, range, _, _ in listed:
            bad = "nonsense" if kind in ("choice", "flag") else "x" * 2000 if kind == "text" else str(float(range.split("..")[1]) * 2 + 1)
            refused(db, f"CREATE VIRTUAL TABLE x USING rec_model(events=events, user=user, item=item, algorithm={algorithm}, {option}={bad})", says=(f"{option}=", range))
            refused(db, f"INSERT INTO b_{algorithm}(b_{algorithm}, arg) VALUES('train', json_object(?, ?))", option, bad, says=(f"{option}=", range))


def test_triggers_may_load_activate_and_drop_but_not_call_rec_train(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    db.execute("CREATE TABLE arrived(version BLOB)")
    db.execute("CREATE TABLE alarm(version INTEGER)")
    db.execute("CREATE TRIGGER loads AFTER INSERT ON arrived BEGIN INSERT INTO m(m, arg) VALUES('load', NEW.version); END")
    db.execute("CREATE TRIGGER activates AFTER INSERT ON alarm BEGIN INSERT INTO m(m, arg) VALUES('activate', NEW.version); END")
    db.execute("PRAGMA trusted_schema=OFF")  # as for a file that came from elsewhere
    db.execute("INSERT INTO arrived SELECT rec_train('m')")
    equal(one(db, "SELECT version FROM m(7, 1)"), 2)
    db.execute("INSERT INTO alarm VALUES(1)")
    equal(one(db, "SELECT version FROM m(7, 1)"), 1)
    refused(db, "INSERT INTO alarm VALUES(9)", says="no version 9")
    equal(one(db, "SELECT count(*) FROM alarm"), 1, "a trigger's failure takes the statement back")
    db.execute("CREATE TRIGGER trains AFTER DELETE ON alarm BEGIN INSERT INTO m(m, arg) SELECT 'load', rec_train('m'); END")
    db.execute("CREATE VIEW v AS SELECT rec_train('m') AS version")
    db.execute("CREATE VIEW listed AS SELECT item FROM m WHERE user = 7 AND k = 3")
    for trusted in ("ON", "OFF"):
        db.execute(f"PRAGMA trusted_schema={trusted}")
        refused(db, "DELETE FROM alarm", says="unsafe use of rec_train")
        refused(db, "SELECT * FROM v", says="unsafe use of rec_train")
        equal(len(rows(db, "SELECT * FROM listed")), 3, "lists may be read in views")
    db.execute("CREATE VIEW p AS SELECT * FROM rec_progress")
    refused(db, "SELECT * FROM p", says="unsafe use")


def test_refusals_of_commands_leave_versions_and_deployments_alone(shop):
    for transaction in (False, True):
        db = shop.connect()
        make_events(db)
        make_model(db)
        db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"activate\":\"never\"}')")
        before = shadow(db, "m")
        if transaction:
            db.execute("BEGIN")
        blob = one(db, "SELECT rec_train('m')")
        for arg in ("0", "-1", "99", "'x'", "1.5", "NULL", "x'00'", "'{\"version\":0}'", "'{\"version\":\"x\"}'", "'{\"versoin\":1}'", "'{}'", "'[1]'", "9223372036854775807"):
            for command in ("activate", "drop-version"):
                refused(db, f"INSERT INTO m(m, arg) VALUES('{command}', {arg})", says="JSON object" if arg in ("'x'", "'[1]'") else "version")
        refused(db, "INSERT INTO m(m, arg) VALUES('drop-version', 1)", says=("version 1 is active", "activate another first"))
        refused(db, "INSERT INTO m(m, arg, options) VALUES('load', ?, '{\"activate\":\"maybe\"}')", blob, says="activate=maybe (always|never)")
        refused(db, "INSERT INTO m(m, arg, options) VALUES('load', ?, '{\"actvate\":\"never\"}')", blob, says=("'actvate'", "activate"))
        refused(db, "INSERT INTO m(m, arg) VALUES('load', NULL)", says="BLOB that rec_train gave")
        refused(db, "INSERT INTO m(m) VALUES(x'00')", says="unknown command")
        refused(db, "INSERT INTO m(m) VALUES(17)", says="unknown command '17'")
        refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"until\":\"tomorrow\"}')", says="until=tomorrow")
        refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"activate\":\"maybe\"}')", says="activate=maybe (always|never|if-better)")
        refused(db, "SELECT rec_train('m', '{\"nosuch\":1}')", says=("'nosuch'", "allowed: "))
        refused(db, "SELECT rec_train('events')", says="no rec_model named 'events'")
        refused(db, "SELECT rec_train('aux.m')", says="no rec_model named 'aux.m'")
        refused(db, "SELECT rec_train()", says="wrong number of arguments")
        db.execute("CREATE TEMP TABLE plain AS SELECT user, item FROM events")
        equal(shadow(db, "m"), before)
        equal(db.in_transaction, transaction)


def test_until_needs_a_time(shop):
    db = shop.connect()
    make_events(db)
    db.execute("CREATE VIRTUAL TABLE x USING rec_model(events=events, user=user, item=item)")
    refused(db, "INSERT INTO x(x, arg) VALUES('train', '{\"until\":500}')", says=("until", "time="))


def test_candidates_are_ranked_once_each_and_unknown_ones_come_last_as_given(shop):
    for algorithm in ALGORITHMS:
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        everything = [item for item, in rows(db, "SELECT item FROM m WHERE user = 7 AND options = '{\"exclude_seen\":false}'")]
        wanted = everything[::-3]
        given = [901] + wanted + [900] + wanted[:2] + [901, 902]
        listed = rows(db, "SELECT item, rank FROM m WHERE user = 7 AND candidates = ?", json.dumps(given))
        equal(listed, [(item, rank) for rank, item in enumerate([item for item in everything if item in wanted] + [901, 900, 902], 1)], algorithm)
        equal(rows(db, "SELECT item, rank FROM m WHERE user = 7 AND k = 2 AND candidates = ?", json.dumps(given)), listed[:2], "k cuts it")
        equal(rows(db, "SELECT item, rank FROM m WHERE user = 7 AND candidates = ? LIMIT 2 OFFSET 1", json.dumps(given)), listed[1:3])
        equal(rows(db, "SELECT item, rank FROM m WHERE user = 7 AND candidates = ?", json.dumps([str(item) for item in given])), listed, "texts that are numbers are keys of an INTEGER column")
        equal(rows(db, "SELECT item FROM m WHERE user = 7 AND candidates = '[]'"), [])


def test_a_cart_has_its_own_history_and_counts_repeats(shop):
    for algorithm in ("item_knn", "ials"):
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm, more=", scale=linear")
        catalogue = {item for item, in rows(db, "SELECT DISTINCT item FROM events")}
        listed = rows(db, "SELECT item, score, because FROM m WHERE basket = '[2, 3]'")
        equal({row[0] for row in listed}, catalogue - {2, 3}, algorithm)
        equal({row[0] for row in rows(db, "SELECT item FROM m WHERE basket = '[2, 3]' AND options = '{\"exclude_seen\":false}'")}, catalogue)
        reasons = [json.loads(because) for _, score, because in listed if score != 0]
        assert reasons and all(reason["source"] == "basket" and {part["item"] for part in reason["items"]} <= {2, 3} for reason in reasons), algorithm
        equal(rows(db, "SELECT item, score FROM m WHERE basket = '[3, 2]'"), [row[:2] for row in listed], "the order does not matter to these")
        assert rows(db, "SELECT item, score FROM m WHERE basket = '[2, 2, 2, 3]'") != [row[:2] for row in listed], f"{algorithm}: an item counts as often as it is there"
        equal(rows(db, "SELECT item, score FROM m WHERE basket = '[2, 3, 987654]'"), [row[:2] for row in listed], "what the model does not know says nothing")


def test_users_above_2_to_the_53_are_told_apart(shop):
    db = shop.connect()
    big = 2 ** 53
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?)", [(big, 1), (big + 1, 2), (3, 1), (3, 2), (3, 3), (3, -2 ** 63), (3, 2 ** 63 - 1)])
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(len(rows(db, "SELECT user, item FROM m WHERE (user = ? AND k = 4) OR (user = ? AND k = 4)", big, big + 1)), 8)
    equal({row for row in rows(db, "SELECT user, item FROM m WHERE user = ?", big)}, {(big, item) for item in (2, 3, -2 ** 63, 2 ** 63 - 1)})
    equal(rows(db, "SELECT item, rank FROM m WHERE user = ? AND candidates = json_array(9223372036854775807, -9223372036854775808, 3)", big + 1)[-1][1], 3)
