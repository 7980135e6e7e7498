"""rec_predictor: kinds that are found out, odd values and their answers, versions, roll-outs, the same bits everywhere."""
import base64, gzip, hashlib, json, math, multiprocessing, pathlib, sqlite3, struct

from support import Shop, equal, one, refused, rows

OPTIONS = "examples=visits, label=bought, id=visit, algorithm=logistic"


def make_visits(db, n=400):
    db.execute("CREATE TABLE visits(visit INTEGER PRIMARY KEY, pages INTEGER, country TEXT, seconds REAL, day TEXT, bought INTEGER)")
    db.executemany("INSERT INTO visits VALUES(?, ?, ?, ?, ?, ?)",
                   [(i, i % 9, "UK FR DE".split()[i % 3], (i * 37 % 400) + .5 if i % 10 else None, f"2024-{1 + i % 12:02}-{1 + i % 28:02}",
                     int((i % 9) * 2 + (i % 3 == 0) * 3 + (i * 7919 % 11) > 14)) for i in range(n)])


def make_predictor(db, options=OPTIONS, name="buy", train="{}"):
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_predictor({options})")
    if train is not None:
        db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', ?)", (train,))


def digest(db, name="buy", version=None):
    return one(db, "SELECT sha256 FROM rec_versions WHERE model = ? AND version = coalesce(?, version) ORDER BY version DESC", name, version)


# ---- what columns are ----


def test_kinds_are_found_out_and_may_be_said(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(n REAL, flag INTEGER, word TEXT, line TEXT, day TEXT, at DATETIME, v BLOB, empty TEXT, same INTEGER, y REAL)")
    words = "red green blue heart box lamp cup wood".split()
    db.executemany("INSERT INTO t VALUES(?, ?, ?, ?, ?, ?, ?, NULL, 7, ?)",
                   [(i * .5, i % 2, words[i % 4], f"{words[i % 8]} {words[i * 3 % 7]} {words[i % 5]} number{i}", f"2024-01-{1 + i % 28:02}", 1700000000 + i * 3600,
                     struct.pack("<2f", i, 1), float(i % 13)) for i in range(100)])
    make_predictor(db, "examples=t, label=y, algorithm=ridge")
    equal(dict(rows(db, "SELECT feature, kind FROM rec_features('buy')")),
          {"n": "number", "flag": "boolean", "word": "category", "line": "text", "day": "timestamp", "at": "timestamp", "v": "vector", "empty": "ignore", "same": "ignore"})
    equal(one(db, "SELECT note FROM rec_features('buy') WHERE feature = 'empty'"), "NULL in every example: left out")
    equal(one(db, "SELECT note FROM rec_features('buy') WHERE feature = 'same'"), "the same in every example: left out")
    make_predictor(db, """examples=t, label=y, algorithm=ridge, features='{"n": "category", "line": "ignore", "day": {"kind": "category"}}'""", "said")
    equal(dict(rows(db, "SELECT feature, kind FROM rec_features('said') WHERE feature IN ('n', 'line', 'day')")), {"n": "category", "line": "ignore", "day": "category"})
    for said, says in (('{"nothing": "number"}', "no column 'nothing'"), ('{"y": "number"}', "'y' is no feature"), ('{"n": {"scal": "log"}}', "features: n: unknown option 'scal'"),
                       ('[1]', "features is no JSON object"), ('{"word": "number"}', "'red' is no number")):
        refused(db, "INSERT INTO buy(buy, arg) VALUES('train', json_object('features', json(?)))", said, says=says)


def test_dates_become_their_parts(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(day TEXT, y INTEGER)")
    db.executemany("INSERT INTO t VALUES(?, ?)", [(f"2024-{1 + i % 12:02}-{1 + i % 28:02} {i % 24:02}:30:00", i % 2) for i in range(60)])
    make_predictor(db, "examples=t, label=y, algorithm=logistic")
    for day, month, weekday in (("2024-02-29 13:00:00", 2, 4), ("1969-12-31 13:59:59", 12, 3), ("2000-01-01 13:00:00", 1, 6), ("1600-03-01 13:00:00", 3, 3)):
        said = json.loads(one(db, "SELECT rec_transform('buy', ?)", day))
        equal({key for key in said if "=" in key}, {f"day.month={month}", f"day.weekday={weekday}", "day.hour=13"}, day)
    refused(db, "SELECT rec_predict('buy', '2024-13-01')", says="is no time")


# ---- odd values ----


def test_odd_values_have_their_documented_answers(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    equal(one(db, "SELECT rec_predict_proba('buy', 3, 'XX', 10, '2024-01-05') BETWEEN 0 AND 1"), 1, "a category never seen")
    equal(one(db, "SELECT rec_predict_proba('buy', 3, NULL, NULL, NULL) BETWEEN 0 AND 1"), 1, "NULL")
    refused(db, "SELECT rec_predict('buy', 9e999, 'UK', 1, NULL)", says="feature 'pages': infinity")
    refused(db, "SELECT rec_predict('buy', 3, 'UK', 'long', NULL)", says=["rec_predict: buy: feature 'seconds'", "'long' is no number"])
    refused(db, "SELECT rec_predict('buy', x'00', 'UK', 1, NULL)", says="a BLOB is no number")
    refused(db, "SELECT rec_predict('buy', 3, x'00', 1, NULL)", says="a BLOB is no category")
    refused(db, "SELECT rec_predict('buy', 3)", says="1 features are given, it takes 4 (pages, country, seconds, day)")
    refused(db, "SELECT rec_predict('nothing', 3)", says="nothing")
    refused(db, "SELECT rec_predict(NULL, 3)", says="name is NULL")
    refused(db, "SELECT rec_predict()", says="name is missing")
    refused(db, "SELECT rec_predict('visits', 3)", says="visits")
    refused(db, """SELECT rec_predict('buy', '{"pages": 1')""", says="features:")
    refused(db, """SELECT rec_predict('buy', '{"pages": 1, "country": "UK", "seconds": 1, "day": null, "pagess": 3}')""", says="'pagess' is no feature")
    refused(db, """SELECT rec_predict('buy', '{"pages": 1, "country": "UK", "seconds": 1}')""", says="there is no 'day'")
    equal(one(db, """SELECT rec_predict('buy', '{"pages": 8, "country": "UK", "seconds": 1, "day": null, "visit": 3}') IN (0, 1)"""), 1, "with the id")
    db.execute("CREATE VIEW narrow AS SELECT visit, pages FROM visits")
    refused(db, "SELECT * FROM buy('narrow')", says=["no column 'country'", "version 1"])
    refused(db, "SELECT * FROM buy('sqlite_stmt')", says="no table or view")
    refused(db, "SELECT * FROM buy(NULL)", says="is NULL")
    refused(db, """SELECT * FROM buy WHERE options = '{"coverage": 2}'""", says="coverage=2")
    refused(db, """SELECT * FROM buy WHERE options = '{"version": "nobody"}'""", says="no alias 'nobody'")


def test_examples_that_teach_nothing_are_refused(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(x, y)")
    make_predictor(db, "examples=t, label=y, algorithm=logistic", train=None)
    train = "INSERT INTO buy(buy) VALUES('train')"
    refused(db, "SELECT rec_predict('buy', 1)", says="buy")
    refused(db, train, says="there are no examples")
    db.execute("INSERT INTO t VALUES(1, NULL), (2, NULL)")
    refused(db, train, says="no example has a label")
    db.execute("INSERT INTO t VALUES(1, 'yes'), (2, 'yes')")
    refused(db, train, says="every label is 'yes': there is nothing to learn")
    db.execute("INSERT INTO t VALUES(9e999, 'no'), (3, 'no')")
    refused(db, train, says="feature 'x': infinity")
    db.execute("UPDATE t SET x = NULL")
    refused(db, train, says="no column of the examples is a feature")
    db.execute("UPDATE t SET x = rowid, y = x'00' WHERE y = 'no'")
    refused(db, train, says="a BLOB is no class")
    equal(one(db, "SELECT count(*) FROM rec_versions WHERE model = 'buy'"), 0)
    make_predictor(db, "examples=t, label=y, algorithm=linear", "n", train=None)
    refused(db, "INSERT INTO n(n) VALUES('train')", says="label: 'yes' is no number")


def test_create_refuses_what_it_cannot_use(shop):
    db = shop.connect()
    make_visits(db)
    for options, says in (("examples=nothing, label=y", "no table or view"), ("examples=visits, label=nothing", "no column 'nothing'"), ("examples=visits", "label= is needed"),
                          ("label=bought", "examples= is needed"), ("examples=visits, label=bought, algorithm=magic", ["algorithm=magic", "logistic"]),
                          ("examples=visits, label=bought, colour=red", "unknown option 'colour'"), ("examples=visits, label=bought, validation=2", "validation=2"),
                          ("examples=visits, label=bought, id_type=TEXT", "unknown option 'id_type'"), ("examples=visits, label=bought, algorithm=linear, c=1", "unknown option 'c'")):
        refused(db, f"CREATE VIRTUAL TABLE p USING rec_predictor({options})", says=says)
    refused(db, "CREATE VIRTUAL TABLE prediction USING rec_predictor(examples=visits, label=bought)", says="cannot be named 'prediction'")
    equal(one(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'p\\_%' ESCAPE '\\'"), 0, "no shadow tables are left")
    make_predictor(db, "examples=visits, label=bought, algorithm=logistic, task=number", "wrong", train=None)
    refused(db, "INSERT INTO wrong(wrong) VALUES('train')", says="algorithm=logistic cannot do task=number")
    refused(db, "INSERT INTO wrong(prediction) VALUES(1)", says="rows are computed")
    make_predictor(db, "examples=visits, label=bought, weight=pages, algorithm=logistic", "heavy", train=None)
    refused(db, "INSERT INTO heavy(heavy) VALUES('train')", says="weight: 0 (above 0)")
    make_predictor(db, "examples=visits, label=bought, split=country, algorithm=logistic", "parted", train=None)
    refused(db, "INSERT INTO parted(parted) VALUES('train')", says="neither 'train', 'validation' nor 'test'")


def test_a_leak_is_said(shop):
    db = shop.connect()
    make_visits(db)
    db.execute("CREATE VIEW leaky AS SELECT *, bought * 2 + 1 AS paid, CASE bought WHEN 1 THEN 'invoice' ELSE 'none' END AS paper FROM visits")
    make_predictor(db, "examples=leaky, label=bought, id=visit, algorithm=logistic")
    said = dict(rows(db, "SELECT feature, note FROM rec_features('buy') WHERE note IS NOT NULL"))
    equal(set(said), {"paid", "paper"})
    assert all("says the label by itself" in note for note in said.values()), said


def test_a_hundred_thousand_categories(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(code TEXT, x REAL, y INTEGER)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?)", ((f"c{i}", i % 17, i % 17 > 8) for i in range(100000)))
    make_predictor(db, "examples=t, label=y, algorithm=logistic")
    equal(one(db, "SELECT becomes FROM rec_features('buy') WHERE feature = 'code'"), "indicators of 1000 categories, 1 for others")
    make_predictor(db, "examples=t, label=y, algorithm=logistic, encode=target", "by_mean")
    equal(one(db, "SELECT becomes FROM rec_features('by_mean') WHERE feature = 'code'"), "mean of the label in 100000 categories")
    equal(rows(db, "SELECT rec_predict('buy', 'new', 16), rec_predict('by_mean', 'new', 16), rec_predict('by_mean', 'c1', 1)"), [(1, 1, 0)])


def test_target_means_do_not_tell_an_example_its_own_label(shop):
    """A code that nobody else has says nothing; a mean of its own label would say everything."""
    db = shop.connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT, y INTEGER)")
    db.executemany("INSERT INTO t(code, y) VALUES(?, ?)", ((f"c{i}", int(hashlib.sha256(str(i).encode()).hexdigest(), 16) % 2) for i in range(2000)))
    make_predictor(db, "examples=t, label=y, id=id, algorithm=logistic, encode=target, smoothing=0")
    judged = json.loads(one(db, "SELECT judged FROM rec_predictors"))
    assert judged["log_loss"] < .75, judged  # ln 2 is .693; with its own label it would be certain, and wrong


# ---- classes that are rare ----


def test_rare_classes_are_weighed_drawn_or_made(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a REAL, b REAL, part TEXT, y INTEGER)")
    draw = lambda i, k: int(hashlib.sha256(f"{i}.{k}".encode()).hexdigest()[:8], 16) / 2 ** 32
    for i in range(2000):
        y = i % 20 == 0
        db.execute("INSERT INTO t(a, b, part, y) VALUES(?, ?, ?, ?)", (draw(i, 1) * 2 + y, draw(i, 2) * 2 - y, "train", y))
    shares, learnt = {}, {}
    for option in ("", ", balance=classes", ", resample=over", ", resample=under", ", resample=smote"):
        make_predictor(db, f"examples=t, label=y, id=id, split=part, algorithm=logistic{option}", "p")
        shares[option] = one(db, "SELECT avg(prediction) FROM p")
        learnt[option] = one(db, "SELECT learnt_from FROM rec_predictors WHERE predictor = 'p'")
        db.execute("DROP TABLE p")
    assert shares[""] < .05 and all(.1 < share < .4 for option, share in shares.items() if option), shares
    equal(list(learnt.values()), [2000, 2000, 3800, 200, 2000], "examples, before points between neighbours are added")


# ---- versions ----


def test_versions_live_as_those_of_a_model(shop):
    db = shop.connect("shop.db")
    make_visits(db)
    make_predictor(db)
    first = rows(db, "SELECT id, probability FROM buy ORDER BY id")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"penalty": "l1", "c": 0.05}')""")
    equal(one(db, "SELECT active FROM rec_predictors"), 2)
    assert first != rows(db, "SELECT id, probability FROM buy ORDER BY id")
    equal(rows(db, """SELECT id, probability FROM buy WHERE options = '{"version": 1}' ORDER BY id"""), first, "by number")
    db.execute("INSERT INTO buy(buy, arg) VALUES('alias', '{\"old\": 1}')")
    equal(rows(db, """SELECT id, probability FROM buy WHERE options = '{"version": "old"}' ORDER BY id"""), first, "by alias")
    db.execute("INSERT INTO buy(buy) VALUES('rollback')")
    equal(rows(db, "SELECT id, probability FROM buy ORDER BY id"), first, "rolled back")
    equal([row[0] for row in rows(db, "SELECT command FROM rec_audit('buy') ORDER BY id")], ["train", "train", "alias", "rollback"])
    equal(one(db, "SELECT json_extract(tags, '$.\"validation.auc\"') > .5 FROM rec_versions WHERE model = 'buy' AND version = 1"), 1, "judged")
    db.execute("INSERT INTO buy(buy) VALUES('integrity-check')")
    db.execute("INSERT INTO buy(buy, arg) VALUES('export', '{\"version\": 2, \"to\": \"carrier\"}')")
    db.execute("CREATE VIRTUAL TABLE other USING rec_predictor(examples=visits, label=bought, id=visit)")
    db.execute("INSERT INTO other(other, arg) VALUES('import', '{\"from\": \"carrier\"}')")
    equal(digest(db, "other"), digest(db, "buy", 2))
    db.execute("ALTER TABLE buy RENAME TO sale")
    equal(rows(db, "SELECT id, probability FROM sale ORDER BY id"), first, "renamed")
    refused(db, "SELECT rec_predict('buy', 1, 'UK', 1, NULL)", says="buy")
    db.execute("DROP TABLE sale")
    db.execute("DROP TABLE other")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE 'sale%' OR name LIKE 'other%'"), [])


def test_a_worse_setting_is_not_activated(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"c": 0.000001, "activate": "if-better"}')""")
    equal(one(db, "SELECT active FROM rec_predictors"), 1)
    detail = json.loads(one(db, "SELECT detail FROM rec_audit('buy') ORDER BY id DESC LIMIT 1"))
    assert detail["candidate"] > detail["active"] and not detail["activated"], detail  # log losses
    equal(one(db, "SELECT count(*) FROM rec_versions WHERE model = 'buy'"), 2, "it is stored all the same")


def test_rows_are_routed_by_their_id(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"c": 0.001, "activate": "never"}')""")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('canary', '{"version": 2, "share": 0.3}')""")
    by_arm = dict(rows(db, "SELECT arm, count(*) FROM buy GROUP BY arm"))
    assert 80 < by_arm["canary"] < 160 and sum(by_arm.values()) == 400, by_arm
    equal(rows(db, "SELECT DISTINCT arm, version FROM buy ORDER BY version"), [("control", 1), ("canary", 2)])
    visit = one(db, "SELECT id FROM buy WHERE arm = 'canary' LIMIT 1")
    wanted = one(db, "SELECT probability FROM buy WHERE id = ?", visit)
    equal(one(db, """SELECT rec_predict_proba('buy', json_object('visit', visit, 'pages', pages, 'country', country, 'seconds', seconds, 'day', day))
                     FROM visits WHERE visit = ?""", visit), wanted, "the same arm by the id in the object")
    refused(db, "INSERT INTO buy(buy) VALUES('train')", says="experiment")
    db.execute("INSERT INTO buy(buy) VALUES('stop')")
    equal(rows(db, "SELECT DISTINCT arm, version FROM buy"), [(None, 1)])


def test_a_damaged_version_falls_back_to_the_last_good_one(shop):
    db = shop.connect("shop.db")
    make_visits(db)
    make_predictor(db)
    wanted = rows(db, "SELECT id, probability FROM buy ORDER BY id")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"c": 0.01}')""")
    db.execute("UPDATE buy_chunks SET data = zeroblob(length(data)) WHERE version = 2")
    db.close()
    db = shop.connect("shop.db")
    db.execute("UPDATE buy_versions SET sha256 = 'x' || substr(sha256, 2) WHERE version = 2")  # what is cached is another one
    equal(rows(db, "SELECT id, probability FROM buy ORDER BY id"), wanted)
    refused(db, "INSERT INTO buy(buy) VALUES('integrity-check')", says="version 2")


def learn_elsewhere(path):
    db = Shop("").connect(path)
    db.execute("INSERT INTO buy(buy) VALUES('train')")
    equal_digest = digest(db)
    db.close()
    return equal_digest


def test_the_same_bits_on_any_threads_after_reopening_and_in_another_process(shop):
    db = shop.connect("shop.db")
    make_visits(db, 5000)
    for options in (OPTIONS, "examples=visits, label=seconds, id=visit, algorithm=ridge, encode=target", "examples=visits, label=bought, id=visit, algorithm=boosting, rows=0.5",
                    "examples=visits, label=seconds, id=visit, algorithm=forest, trees=10", "examples=visits, label=country, id=visit, algorithm=boosting, rounds=5",
                    "examples=visits, id=visit, algorithm=kmeans, clusters=4", "examples=visits, id=visit, algorithm=pca", "examples=visits, id=visit, algorithm=gaussian",
                    "examples=visits, label=bought, id=visit, algorithm=knn", "examples=visits, label=bought, id=visit, algorithm=neural_network, epochs=3",
                    "examples=visits, label=country, id=visit, algorithm=factorization_machine, steps=5", "examples=visits, label=country, id=visit, algorithm=kernel_svm, tolerance=0.1",
                    """examples=visits, label=bought, id=visit, algorithm=naive_bayes, features='{"day": "ignore"}'"""):
        make_predictor(db, options, train='{"threads": 1}')
        wanted = digest(db)
        answers = rows(db, "SELECT id, prediction, score FROM buy ORDER BY id")
        db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"threads": 2}')""")
        equal(digest(db), wanted, "two threads")
        db.close()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            equal(pool.apply(learn_elsewhere, (shop.path("shop.db"),)), wanted, "another process")
        db = shop.connect("shop.db")
        equal(rows(db, "SELECT id, prediction, score FROM buy ORDER BY id"), answers, "reopened")
        db.execute("DROP TABLE buy")


def test_the_order_of_rows_does_not_matter_where_there_is_an_id(shop):
    db = shop.connect()
    make_visits(db)
    db.execute("CREATE VIEW backwards AS SELECT * FROM visits ORDER BY visit DESC")
    make_predictor(db)
    make_predictor(db, OPTIONS.replace("visits", "backwards"), "yub")
    equal(digest(db, "yub"), digest(db, "buy"))


def test_learning_goes_on_from_a_version(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    steps = "SELECT count(*) FROM rec_training_log WHERE model = 'buy' AND version = ?"
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"init_from": 1}')""")
    assert one(db, steps, 2) < one(db, steps, 1) / 2, "it starts where it ended"
    db.execute("ALTER TABLE visits ADD COLUMN extra")
    refused(db, """INSERT INTO buy(buy, arg) VALUES('train', '{"init_from": 1}')""", says="version 1 has other features")


# ---- queries ----


def test_a_query_gives_the_same_rows_in_every_plan(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    wanted = dict(rows(db, "SELECT id, probability FROM buy"))
    equal(dict(rows(db, "SELECT v.visit, p.probability FROM visits v JOIN buy p ON p.id = v.visit")), wanted, "joined")
    equal(rows(db, "SELECT id, probability FROM buy WHERE id = 17 OR id = 18 ORDER BY id"), [(17, wanted[17]), (18, wanted[18])], "OR")
    equal(rows(db, "SELECT id FROM buy WHERE id IN (3, '4', 5) ORDER BY id"), [(3,), (4,), (5,)], "IN")
    equal(one(db, "SELECT count(*) FROM visits v LEFT JOIN buy p ON p.id = v.visit + 399"), 400, "LEFT JOIN")
    equal(one(db, "SELECT count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM buy p WHERE p.id = v.visit AND p.prediction = v.bought)") > 300, True, "EXISTS")
    equal(dict(rows(db, "SELECT visit, rec_predict_proba('buy', pages, country, seconds, day) FROM visits")), wanted, "by the function")
    equal(dict(rows(db, "SELECT visit, rec_predict_proba(p.predictor, pages, country, seconds, day) FROM visits, rec_predictors p")), wanted, "by a name that is no constant")
    equal(one(db, "SELECT count(*) FROM buy LIMIT 1"), 400)
    db.execute("CREATE VIEW ring AS SELECT id AS visit, 1 AS pages, 'UK' AS country, 1.0 AS seconds, NULL AS day FROM buy('ring')")
    refused(db, "SELECT * FROM buy('ring')", says="use")


def test_triggers_and_attached_databases(shop):
    db = shop.connect("main.db")
    make_visits(db)
    make_predictor(db)
    db.execute("CREATE TABLE scored(visit, p)")
    db.execute("CREATE TRIGGER score AFTER INSERT ON visits BEGIN INSERT INTO scored VALUES(new.visit, rec_predict_proba('buy', new.pages, new.country, new.seconds, new.day)); END")
    db.execute("INSERT INTO visits VALUES(1000, 8, 'UK', 3, NULL, NULL)")
    equal(one(db, "SELECT p FROM scored"), one(db, "SELECT probability FROM buy WHERE id = 1000"))
    db.execute("ATTACH ? AS aux", (shop.path("aux.db"),))
    db.execute("CREATE TABLE aux.visits AS SELECT visit, pages, 1 - bought AS bought FROM main.visits WHERE bought IS NOT NULL")
    db.execute("CREATE VIRTUAL TABLE aux.buy USING rec_predictor(examples=visits, label=bought, id=visit, algorithm=logistic)")
    db.execute("INSERT INTO aux.buy(buy) VALUES('train')")
    low, high = rows(db, "SELECT rec_predict('aux.buy', 0), rec_predict('aux.buy', 8)")[0]
    equal((low, high), (1, 0), "the attached one has learnt the opposite")
    equal(one(db, "SELECT rec_predict('buy', 8, 'UK', 1, NULL)"), 1, "main comes first")
    db.execute("CREATE TEMP TABLE visits AS SELECT * FROM aux.visits")
    db.execute("CREATE VIRTUAL TABLE temp.buy USING rec_predictor(examples=visits, label=bought, id=visit, algorithm=logistic)")
    db.execute("INSERT INTO temp.buy(buy) VALUES('train')")
    equal(one(db, "SELECT rec_predict('buy', 8)"), 0, "temp comes before")
    equal(one(db, "SELECT count(*) FROM main.buy('temp.visits') WHERE 0"), 0)


def test_another_connections_training_is_seen_at_the_next_statement(shop):
    db = shop.connect("shop.db")
    make_visits(db)
    make_predictor(db)
    other = shop.connect("shop.db")
    asked = "SELECT rec_predict_proba('buy', 3, 'UK', 1, NULL)"
    before = one(other, asked)
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"c": 0.001}')""")
    after = one(other, asked)
    assert before != after
    db.execute("BEGIN")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"c": 0.1}')""")
    assert one(db, asked) != after and one(other, asked) == after, "uncommitted"
    db.execute("ROLLBACK")
    equal(one(db, asked), after, "rolled back")
    db.execute("CREATE TABLE more(x)")  # the other connection reads the schema again
    equal(one(other, asked), after)


def test_auto_chooses_what_is_judged_best(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db, "examples=visits, label=bought, id=visit")
    make_predictor(db, "examples=visits, label=seconds, id=visit", "long")
    equal(rows(db, "SELECT predictor, task FROM rec_predictors ORDER BY predictor"), [("buy", "classes"), ("long", "number")])


def test_explanations_and_rules_say_what_they_cannot(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    refused(db, "SELECT * FROM rec_tree_rules('buy')", says="logistic has no trees")
    refused(db, "SELECT * FROM rec_explain_prediction('buy', '[1]')", says="one json_object")
    refused(db, "SELECT * FROM rec_explain_prediction('buy', json_object('pages', 1))", says="there is no 'country'")
    refused(db, "SELECT * FROM rec_explain_prediction('nothing', '{}')", says="nothing")
    row = "json_object('pages', 1, 'country', 'UK', 'seconds', 3, 'day', NULL)"
    refused(db, f"""SELECT * FROM rec_explain_prediction('buy', {row}, '{{"class": "2"}}')""", says="no class '2'")
    equal(len(rows(db, f"""SELECT * FROM rec_explain_prediction('buy', {row}, '{{"class": "1"}}')""")), 5, "what all begin with, and four features")
    assert len(rows(db, f"""SELECT * FROM rec_explain_prediction('buy', {row}, '{{"by": "column"}}')""")) > 5


def test_stored_states_are_untrusted(shop):
    """Bytes that a sealed form holds by right and that make no state: a node that is its own child, a column beyond the design, a width of nothing."""
    db = shop.connect()
    make_visits(db)
    refused_of = {}
    for options in ("tree, depth=3", "neural_network, epochs=1, hidden='4'", "neural_network, epochs=1, hidden='4', weights=int8", "factorization_machine, steps=2", "kernel_svm, c=0.001"):
        make_predictor(db, f"examples=visits, label=bought, id=visit, algorithm={options}")
        refused_of[options] = refusals(db)
        db.execute("DROP TABLE buy")
    assert all(n > 5 for n in refused_of.values()), refused_of


def refusals(db):
    """How many of the changes of a byte are refused; the others are asked, too."""
    stored = bytearray(one(db, "SELECT data FROM buy_chunks"))
    tried, end = 0, seal_end(stored)
    for at in range(12, end, max(1, end // 300)):
        broken = bytearray(stored)
        broken[at] ^= 0x55
        broken[end:end + 32] = hashlib.sha256(bytes(broken[:end])).digest()
        try:
            db.execute("INSERT INTO buy(buy, arg, options) VALUES('load', ?, '{\"activate\": \"never\"}')", (bytes(broken),))
            version = one(db, "SELECT max(version) FROM rec_versions WHERE model = 'buy'")
            rows(db, "SELECT prediction FROM buy WHERE options = json_object('version', ?)", str(version))
            db.execute("INSERT INTO buy(buy, arg) VALUES('drop-version', ?)", (version,))
        except sqlite3.Error as error:
            assert "rec_predictor buy" in str(error), error
            tried += 1
    return tried


def seal_end(stored):
    """Where the digest stands: what is before it has that digest."""
    for at in range(12, len(stored) - 31):
        if hashlib.sha256(bytes(stored[:at])).digest() == bytes(stored[at:at + 32]):
            return at
    raise AssertionError("no digest")


def test_what_needs_no_label(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db, "examples=visits, id=visit, algorithm=kmeans, clusters=3", "kinds")
    equal(one(db, "SELECT count(DISTINCT prediction) FROM kinds"), 3)
    equal(one(db, "SELECT min(prediction) || max(prediction) FROM kinds"), "02")
    equal(one(db, "SELECT typeof(rec_predict('kinds', 1, 'UK', 2.5, NULL, 1))"), "integer")
    refused(db, "SELECT rec_predict_proba('kinds', 1, 'UK', 2.5, NULL, 1)", says="no classes")
    refused(db, """INSERT INTO kinds(kinds, arg) VALUES('train', '{"clusters": 1000}')""", says="clusters=1000 of 400 examples")
    make_predictor(db, "examples=visits, id=visit, algorithm=pca, components=3", "places")
    equal(one(db, "SELECT rec_vec_dim(rec_predict('places', 1, 'UK', 2.5, NULL, 1))"), 3)
    make_predictor(db, "examples=visits, id=visit, algorithm=gaussian", "odd")
    assert one(db, "SELECT rec_predict('odd', 5000, 'UK', 2.5, NULL, 1)") > 100 * one(db, "SELECT rec_predict('odd', 4, 'UK', 2.5, NULL, 1)")
    explained = "SELECT round(sum(contribution), 6) FROM rec_explain_prediction('kinds', json_object('pages', 1, 'country', 'UK', 'seconds', 1, 'day', NULL, 'bought', 1){})"
    assert one(db, explained.format("")) > 0, "the squared distance to its centre"
    refused(db, explained.format(""", '{"by": "column"}'"""), says="explained by feature alone")
    refused(db, "CREATE VIRTUAL TABLE p USING rec_predictor(examples=visits)", says="label= is needed")


def test_limits_and_interrupts(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db, train=None)
    refused(db, """INSERT INTO buy(buy, arg) VALUES('train', '{"max_rows": 10}')""", says="more than max_rows=10")
    calls = []
    db.set_progress_handler(lambda: calls.append(1) or len(calls) > 3, 50)
    refused(db, "INSERT INTO buy(buy) VALUES('train')", says="interrupted")
    db.set_progress_handler(None, 0)
    equal(one(db, "SELECT count(*) FROM rec_versions WHERE model = 'buy'"), 0)
    db.execute("INSERT INTO buy(buy) VALUES('train')")


def test_intervals_widen_with_what_they_promise(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db, "examples=visits, label=seconds, id=visit, algorithm=ridge")
    width = "SELECT avg(high - low) FROM buy WHERE options = json_object('coverage', ?)"
    assert one(db, width, .5) < one(db, width, .8) < one(db, width, .95)
    equal(one(db, width, .9999), None, "too few examples judged for that")
    equal(rows(db, "SELECT DISTINCT probability, probabilities FROM buy"), [(None, None)])


# ---- what a second reading found ----


def test_numbers_that_overflow_are_refused(shop):
    db = shop.connect()
    make_visits(db)
    db.execute("UPDATE visits SET seconds = 1e39 WHERE visit = 7")
    make_predictor(db, train=None)
    refused(db, "INSERT INTO buy(buy) VALUES('train')", says="feature 'seconds': one beyond 1e30")
    db.execute("UPDATE visits SET seconds = 1 WHERE visit = 7")
    db.execute("INSERT INTO buy(buy) VALUES('train')")
    refused(db, "SELECT rec_predict('buy', 1e300, 'UK', 1, NULL)", says="one beyond 1e30")


def test_a_stored_feature_that_contradicts_itself_is_refused(shop):
    """The options of a sealed version are changed one by one: NULL must not be written where a sparse date has no room."""
    db = shop.connect()
    make_visits(db)
    make_predictor(db, "examples=visits, label=bought, id=visit, algorithm=logistic, encode=onehot, buckets=1000")
    stored = bytes(one(db, "SELECT group_concat(hex(data), '') FROM (SELECT data FROM buy_chunks ORDER BY chunk)"), "ascii")
    stored = bytes.fromhex(stored.decode())
    end, name, loaded = seal_end(stored), b"\x07\x00\x00\x00missing", 0
    at = stored.find(name)
    while 0 <= at < end:
        for value in (0., 3., 77., float("nan")):
            broken = bytearray(stored)
            broken[at + len(name):at + len(name) + 8] = struct.pack("<d", value)
            broken[end:end + 32] = hashlib.sha256(bytes(broken[:end])).digest()
            try:
                db.execute("INSERT INTO buy(buy, arg, options) VALUES('load', ?, '{\"activate\": \"never\"}')", (bytes(broken),))
                version = one(db, "SELECT max(version) FROM rec_versions WHERE model = 'buy'")
                rows(db, "SELECT prediction FROM buy WHERE options = json_object('version', ?)", str(version))
                loaded += 1
            except sqlite3.Error as error:
                assert "rec_predictor buy" in str(error), error
        at = stored.find(name, at + 1)
    assert loaded, "some of them are harmless"


def test_init_from_does_not_judge_nor_leak(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db, "examples=visits, label=bought, id=visit, algorithm=boosting, rounds=5, encode=onehot")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"init_from": 1}')""")
    equal(one(db, "SELECT judged FROM rec_predictors"), "{}", "it has seen the examples that would judge")
    equal(one(db, "SELECT max(tree) FROM rec_tree_rules('buy')"), 10)
    refused(db, """INSERT INTO buy(buy, arg) VALUES('train', '{"init_from": 1, "algorithm": "logistic"}')""", says="logistic")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"encode": "target"}')""")
    refused(db, """INSERT INTO buy(buy, arg) VALUES('train', '{"init_from": 3}')""", says="is a mean of labels")


def test_a_file_of_somebody_else_names_its_own_tables(shop):
    other = shop.connect("other.db")
    make_visits(other)
    make_predictor(other)
    other.execute("UPDATE buy_config SET value = 'main.visits' WHERE key = 'examples'")
    other.close()
    db = shop.connect("mine.db")
    make_visits(db)
    db.execute("ATTACH ? AS ev", (shop.path("other.db"),))
    refused(db, "SELECT * FROM ev.buy", says="main.visits")


def test_a_source_without_the_id_is_filtered_by_place(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    db.execute("CREATE VIEW noid AS SELECT pages, country, seconds, day FROM visits")
    equal(rows(db, "SELECT id FROM buy('noid') WHERE id = 2"), rows(db, "SELECT id FROM buy('noid') WHERE +id = 2"))
    equal(rows(db, "SELECT id FROM buy('noid') WHERE id = 2"), [(2,)])


def test_labels_come_back_as_they_are(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(x, y)")
    db.executemany("INSERT INTO t VALUES(?, ?)", [(i, .5 if i % 40 < 20 else 1.5) for i in range(400)])
    make_predictor(db, "examples=t, label=y, algorithm=tree, task=classes")
    equal(rows(db, "SELECT typeof(prediction), count(*) FROM buy GROUP BY 1"), [("real", 400)])
    equal(one(db, "SELECT rec_predict('buy', 25) = 1.5"), 1)
    db.execute("UPDATE t SET y = cast(y AS TEXT)")
    db.execute("INSERT INTO buy(buy) VALUES('train')")
    equal(rows(db, "SELECT DISTINCT typeof(prediction) FROM buy"), [("text",)])


def test_a_text_may_look_like_an_object(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(words TEXT, y TEXT)")
    db.executemany("INSERT INTO t VALUES(?, ?)", [(f"{{red heart lamp {i}", "lamp") if i % 2 else (f"a wooden box no {i}", "box") for i in range(100)])
    make_predictor(db, """examples=t, label=y, algorithm=logistic, features='{"words": "text"}'""")
    equal(one(db, "SELECT rec_predict('buy', '{red heart}')"), "lamp")
    equal(one(db, "SELECT rec_predict('buy', json_object('words', 'wooden box'))"), "box")


def test_nothing_judges_is_said(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db, OPTIONS + ", validation=0")
    refused(db, """INSERT INTO buy(buy, arg) VALUES('train', '{"activate": "if-better"}')""", says="no examples judge")
    make_predictor(db, "examples=visits, label=bought, id=visit, validation=0", "auto_", train=None)
    refused(db, "INSERT INTO auto_(auto_) VALUES('train')", says="no examples judge")
    make_predictor(db, "examples=visits, label=bought, id=visit, group=seconds, algorithm=logistic", "groups", train=None)
    refused(db, "INSERT INTO groups(groups) VALUES('train')", says="group: a row has NULL")
    db.execute("CREATE VIEW late AS SELECT visit % 2 AS half, visit, pages, bought, visit AS at FROM visits")
    make_predictor(db, "examples=late, label=bought, id=visit, group=half, time=at, algorithm=logistic", "late_", train=None)
    refused(db, "INSERT INTO late_(late_) VALUES('train')", says="every example would judge")


def test_weights_have_no_unit(shop):
    db = shop.connect()
    make_visits(db)
    for name, weight in (("one_", 1), ("small", .0001)):
        db.execute(f"CREATE VIEW {name}v AS SELECT visit, pages, country, {weight} AS w FROM visits")
        make_predictor(db, f"examples={name}v, id=visit, weight=w, algorithm=gaussian", name)
    a, b = one(db, "SELECT avg(score) FROM one_"), one(db, "SELECT avg(score) FROM small")
    assert math.isclose(a, b, rel_tol=1e-5), (a, b)


def test_times_are_read_alike_with_and_without_until(shop):
    db = shop.connect()
    make_visits(db)
    db.execute("CREATE VIEW timed AS SELECT *, CASE visit % 2 WHEN 0 THEN cast(1700000000 + visit AS TEXT) ELSE '2023-11-14' END AS at FROM visits")
    make_predictor(db, "examples=timed, label=bought, id=visit, time=at, algorithm=logistic")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('train', '{"until": 1700000300}')""")


def test_a_tree_without_a_limit_takes_no_square_of_the_examples(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(a REAL, b REAL, y REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?)", ((i * 7919 % 100003, i * 104729 % 99991, i * 31337 % 65537) for i in range(60000)))
    make_predictor(db, "examples=t, label=y, algorithm=tree, validation=0")
    assert one(db, "SELECT count(*) FROM rec_tree_rules('buy')") > 20000


# ---- tuning, drift, models of others ----


def test_trials_of_auto_and_tune_are_rows(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db, "examples=visits, label=bought, id=visit", train='{"folds": 3}')
    equal(rows(db, "SELECT algorithm, metric, users, note LIKE '%auc%' FROM rec_trials ORDER BY trial"), [(name, "log_loss", 400, 1) for name in ("logistic", "forest", "boosting")])
    best = one(db, "SELECT algorithm FROM rec_trials ORDER BY value LIMIT 1")
    equal(one(db, "SELECT algorithm FROM rec_versions WHERE active"), best)
    db.execute("""INSERT INTO buy(buy, arg) VALUES('tune', '{"algorithm": "tree", "trials": 5, "activate": "never"}')""")
    equal(one(db, "SELECT count(*) FROM rec_versions"), 1, "trials alone")
    equal(one(db, "SELECT count(*) FROM rec_trials WHERE tuning = 2 AND algorithm = 'tree'") >= 5, True)
    db.execute("""INSERT INTO buy(buy, arg) VALUES('tune', '{"algorithm": "tree", "trials": 3, "activate": "always", "space": {"depth": [1, 2]}}')""")
    equal(one(db, "SELECT json_extract(options, '$.depth') IN (0, 1, 2) FROM rec_versions WHERE active"), 1)
    for arg, says in (('{"folds": 1}', "folds=1"), ('{"trials": 0}', "trials"), ('{"space": {"c": [1]}}', "space belongs to one algorithm"), ('{"algorithm": "tree", "space": {"nothing": [1]}}', "nothing"),
                      ('{"algorithm": "linear"}', "nothing to tune"), ('{"algorithm": "tree", "space": "{"}', "space")):
        refused(db, "INSERT INTO buy(buy, arg) VALUES('tune', ?)", arg, says=says)
    db.execute("BEGIN")
    before = one(db, "SELECT count(*) FROM rec_trials")
    db.execute("""INSERT INTO buy(buy, arg) VALUES('tune', '{"algorithm": "tree", "trials": 2}')""")
    db.execute("ROLLBACK")
    equal(one(db, "SELECT count(*) FROM rec_trials"), before, "rolled back")
    make_predictor(db, "examples=visits, label=bought, id=visit, time=day, algorithm=tree", "timed", train=None)
    refused(db, """INSERT INTO timed(timed, arg) VALUES('tune', '{"folds": 3, "trials": 2}')""", says="folds are drawn")


def test_drift_of_other_rows_is_said(shop):
    db = shop.connect()
    make_visits(db)
    make_predictor(db)
    drift = "SELECT coalesce(feature, 'predictions'), verdict FROM rec_feature_drift('buy', ?)"
    db.execute("CREATE VIEW other AS SELECT visit, pages + 3 AS pages, iif(visit % 2, 'JP', country) AS country, NULL AS seconds, day FROM visits")
    equal(rows(db, drift, "other"), [("pages", "drift"), ("country", "drift"), ("seconds", "drift"), ("predictions", "drift")])
    db.execute("CREATE VIEW few AS SELECT * FROM visits LIMIT 20")
    equal({verdict for _, verdict in rows(db, drift, "few")}, {"too little data"})
    equal({verdict for name, verdict in rows(db, drift, None) if name != "predictions"}, {"quiet"})
    db.execute("CREATE VIEW less AS SELECT visit, pages FROM visits")
    refused(db, drift, "less", says="no column 'country'")
    refused(db, drift, "nothing", says="no table or view")
    db.execute("UPDATE buy_facts SET value = replace(value, 'edges', 'hedges') WHERE key = 'trained_on'")


def test_models_of_others_that_are_none_are_refused(shop):
    db = shop.connect()
    model = gzip.decompress((pathlib.Path(__file__).parent.parent / "golden/model_files.json.gz").read_bytes())
    files = {case["name"]: case["file"] for case in json.loads(model)}
    for bad, says in ((None, "NULL or empty"), ("", "neither"), ("tree", "neither"), ("{}", "no model of XGBoost"), ('{"learner": 1', "XGBoost's JSON"), (b"\x08\x07", "damaged"),
                      (b"\x00", "neither")):
        refused(db, "SELECT rec_from_model(?)", bad, says=says)
    text = files["lightgbm binary"]
    for old, new, says in (("left_child=", "left_child=9999 ", "damaged"), ("num_leaves=8", "num_leaves=9", "cut short"), ("objective=binary", "objective=poisson", "poisson"),
                           ("decision_type=10", "decision_type=1", "categorical"), ("end of trees", "", "neither")):
        assert old in text, old
        refused(db, "SELECT rec_from_model(?)", text.replace(old, new, 1), says=says)
    refused(db, """SELECT rec_from_model(?, '{"columns": ["a"]}')""", text, says="an array of 8 names")
    refused(db, """SELECT rec_from_model(?, '{"classes": ["a", "a"]}')""", text, says="a label twice")
    random = __import__("random").Random(1)
    for name, file in files.items():  # whatever a byte is changed to: an answer or an error
        data = bytearray(base64.b64decode(file) if name.startswith("onnx") else file.encode())
        for _ in range(60):
            broken = bytearray(data[:random.randrange(len(data))] if random.random() < .2 else data)
            for _ in range(random.randrange(1, 4)):
                if broken:
                    broken[random.randrange(len(broken))] = random.randrange(256)
            try:
                version = one(db, "SELECT rec_from_model(?)", bytes(broken) if name.startswith("onnx") else broken.decode("utf-8", "replace"))
            except sqlite3.Error as error:
                assert str(error).startswith("rec_from_model: "), error
            else:
                assert version[:8] == b"RECPREDI"


# ---- ONNX, byte by byte ----


def varint(value):
    out = b""
    while True:
        out += bytes([value & 127 | (128 if value > 127 else 0)])
        value >>= 7
        if not value:
            return out


def field(number, data):
    if isinstance(data, int):
        return varint(number * 8) + varint(data & (1 << 64) - 1)
    data = data.encode() if isinstance(data, str) else data
    return varint(number * 8 + 2) + varint(len(data)) + data


def attribute(name, value):
    if isinstance(value, str):
        inside = field(4, value)
    elif isinstance(value, int):
        inside = field(3, value)
    elif isinstance(value[0], str):
        inside = b"".join(field(9, text) for text in value)
    elif isinstance(value[0], float):
        inside = b"".join(varint(7 * 8 + 5) + struct.pack("<f", x) for x in value)
    else:
        inside = b"".join(field(8, x) for x in value)
    return field(5, field(1, name) + inside)


def onnx(op, **attributes):
    node = field(4, op) + b"".join(attribute(name, value) for name, value in attributes.items())
    return field(1, 7) + field(7, field(1, node))


def stump(kind, leaves, ids=(0, 0), targets="target", **more):
    """One split of f0 at 0 with a leaf on either side."""
    return onnx("TreeEnsemble" + kind, nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[0., 0., 0.], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
                nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], **{f"{targets}_treeids": [0] * len(leaves), f"{targets}_nodeids": [1 + i * 2 // len(leaves) for i in range(len(leaves))],
                                                                 f"{targets}_ids": list(ids), f"{targets}_weights": list(leaves)}, **more)


def test_models_in_onnx_say_what_their_operators_mean(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(f0 REAL, y REAL)")
    db.execute("INSERT INTO t VALUES(-1, 0), (1, 1)")
    db.execute("CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, label=y)")

    def says(model, what="prediction"):
        db.execute("INSERT INTO p(p, arg) SELECT 'load', rec_from_model(?)", (model,))
        return [row[0] for row in rows(db, f"SELECT {what} FROM p")]

    equal(says(stump("Regressor", (10., 20.))), [10, 20])
    equal(says(stump("Regressor", (10., 20.), base_values=[5.])), [15, 25])
    two = dict(targets="class", classlabels_int64s=[0, 1])
    logistic = lambda x: 1 / (1 + math.exp(-x))
    assert abs(says(stump("Classifier", (1., -1.), (1, 1), post_transform="LOGISTIC", **two), "probability")[0] - logistic(1)) < 1e-9
    four = stump("Classifier", (1., 3., 2., 2.), (0, 1, 0, 1), post_transform="SOFTMAX", **two)
    assert abs(says(four, "probability")[0] - logistic(2)) < 1e-9, "softmax of 1 and 3"
    equal(says(stump("Classifier", (.25, .75, .5, .5), (0, 1, 0, 1), **two), "probability"), [.75, .5])
    equal(says(onnx("LinearRegressor", coefficients=[2.], intercepts=[1.])), [-1, 3])
    for model, error in ((stump("Regressor", (10., 20.), aggregate_function="AVERAGE"), "not summed"), (stump("Regressor", (10., 20.), post_transform="LOGISTIC"), "post_transform"),
                         (stump("Regressor", (10., 20.), (0, 1)), "several targets"), (stump("Classifier", (1., 3., 2., 2.), (0, 1, 0, 1), post_transform="LOGISTIC", **two), "of their own"),
                         (stump("Classifier", (1., 1.), (0, 0), targets="class", classlabels_int64s=list(range(200)), classlabels_strings=["a", "b"]), "damaged"),
                         (onnx("LinearClassifier", coefficients=[.5] * 64, intercepts=[1., 2.], classlabels_ints=[0, 1, 2], post_transform="SOFTMAX"), "damaged"),
                         (onnx("LinearRegressor", coefficients=[1., 2.], intercepts=[1., 2.]), "damaged"), (onnx("LinearRegressor", coefficients=[1.], post_transform="LOGISTIC"), "post_transform"),
                         (stump("Regressor", (10., 20.)).replace(b"BRANCH_LEQ", b"BRANCH_EQQ"), "neither BRANCH_LEQ"), (onnx("Scaler", scale=[1.]), "Scaler is not known")):
        refused(db, "SELECT rec_from_model(?)", model, says=error)
    wide = stump("Regressor", (10., 20.)).replace(attribute("nodes_featureids", [0, 0, 0])[4:], attribute("nodes_featureids", [0, 0, 0])[4:])
    equal(says(wide), [10, 20])


def test_what_others_have_trained_is_not_gone_on_with_blindly(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL, y REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?)", [(i, i % 10, float(i % 3)) for i in range(100)])
    db.execute("CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, label=y, id=id, algorithm=boosting)")
    model = "max_feature_idx=0\nobjective=regression\naverage_output\nfeature_names=x\n\n" + "".join(f"Tree={i}\nnum_leaves=1\nleaf_value={v}\n\n" for i, v in enumerate((10, 20))) + "end of trees\n"
    db.execute("INSERT INTO p(p, arg) SELECT 'load', rec_from_model(?)", (model,))
    equal(one(db, "SELECT rec_predict('p', 1)"), 15)
    refused(db, """INSERT INTO p(p, arg) VALUES('train', '{"init_from": 1}')""", says="not those of boosting")
    equal(one(db, "SELECT rec_from_model(CAST(? AS BLOB)) = rec_from_model(?)", model, model), 1, "text or BLOB")
    deep = 1500
    chain = (f"max_feature_idx=0\nobjective=regression\nfeature_names=x\n\nTree=0\nnum_leaves={deep + 1}\nsplit_feature={' '.join(['0'] * deep)}\nthreshold={' '.join(str(i) for i in range(deep))}\n"
             f"decision_type={' '.join(['2'] * deep)}\nleft_child={' '.join(str(-i - 1) for i in range(deep))}\nright_child={' '.join(str(i + 1) for i in range(deep - 1))} {-deep - 1}\n"
             f"leaf_value={' '.join(['1'] * (deep + 1))}\n\nend of trees\n")
    refused(db, "SELECT rec_from_model(?)", chain, says="deeper than")
    refused(db, "SELECT rec_from_model(?)", model.replace("max_feature_idx=0", "max_feature_idx=9223372036854775807"), says="feature_names")


def test_folds_that_hold_nobody_do_not_count(shop):
    db = shop.connect()
    make_visits(db, 90)
    db.execute("CREATE VIEW grouped AS SELECT *, visit % 3 AS who FROM visits")
    make_predictor(db, "examples=grouped, label=seconds, id=visit, group=who, algorithm=ridge", train=None)
    for folds in (10, 100):
        db.execute("INSERT INTO buy(buy, arg) VALUES('tune', json_object('trials', 1, 'folds', ?, 'activate', 'never'))", (folds,))
    assert one(db, "SELECT max(value) / min(value) FROM rec_trials") < 1.5, "three groups, however many parts"
    equal(rows(db, "SELECT DISTINCT users FROM rec_trials"), [(81,)], "all with a label")


def test_silhouettes_keep_their_sign(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL, y REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?)", [(i, i * 7919 % 97, i * 104729 % 89) for i in range(60)])
    make_predictor(db, "examples=t, id=id, algorithm=kmeans, clusters=50", train=None)
    db.execute("""INSERT INTO buy(buy, arg) VALUES('tune', '{"sampler": "grid", "trials": 2, "space": {"clusters": [2, 30]}, "activate": "never"}')""")
    for value, note in rows(db, "SELECT value, json_extract(note, '$.silhouette') FROM rec_trials WHERE json_valid(note)"):
        assert abs(value - note) < 1e-5, (value, note)


def test_categories_that_json_cannot_say(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT, y REAL)")
    db.executemany("INSERT INTO t VALUES(?, CAST(? AS TEXT), ?)", [(i, [b"caf\xe9", b"a\0b", b"plain"][i % 3], i % 5) for i in range(90)])
    make_predictor(db, "examples=t, label=y, id=id, algorithm=ridge, features='{\"c\": \"category\"}'")
    equal(one(db, "SELECT verdict FROM rec_feature_drift('buy') WHERE feature = 'c'"), "quiet")


def test_a_feature_may_have_any_name_in_onnx(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL, scores REAL, f0 REAL, y REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?, ?, ?)", [(i, i % 7, i % 5, i % 3, i % 11) for i in range(90)])
    make_predictor(db, "examples=t, label=y, id=id, algorithm=ridge")
    model = one(db, "SELECT rec_onnx('buy')")
    assert all(model.count(field(1, name)) >= 1 for name in ("x", "scores", "f0"))
    db.execute("CREATE VIEW named AS SELECT id, x AS score, y FROM t")
    make_predictor(db, "examples=named, label=y, id=id, algorithm=ridge", "named_so")
    refused(db, "SELECT rec_onnx('named_so')", says="the name of an output")
    make_predictor(db, "examples=t, label=y, id=id, algorithm=kernel_svm, epsilon=100", "flat")
    assert one(db, "SELECT length(rec_onnx('flat'))") > 100
