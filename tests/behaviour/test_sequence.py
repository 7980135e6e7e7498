"""sequence: it learns what comes next, from users, sessions and carts; the same bits on any threads; it goes on from a version."""
import json
import math
import os
import random
import subprocess
import sys
import threading

from support import EXTENSION, equal, make_model, one, refused, rows

SMALL = ", dim=16, length=8, batch=32, passes=30, sampled=0, dropout=0.1, rate=0.01"


def walks(db, users=60, items=12, table="events"):
    """Users who walk around a ring of items, each from a place of her own: what comes after i is i + 1."""
    db.execute(f"CREATE TABLE {table}(user INTEGER, item INTEGER, n REAL, t INTEGER, visit INTEGER)")
    db.executemany(f"INSERT INTO {table} VALUES(?, ?, 1, ?, ?)",
                   ((user, (user * 5 + step) % items, 1000 * user + step, user) for user in range(users) for step in range(3 + user % 6)))


def first(db, basket, name="m"):
    return one(db, f"SELECT item FROM {name} WHERE basket = ? AND k = 1", json.dumps(basket))


def test_it_learns_what_comes_next(shop):
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL)
    equal([first(db, [i, (i + 1) % 12]) for i in range(12)], [(i + 2) % 12 for i in range(12)], "forwards")
    objective = [row[0] for row in rows(db, "SELECT objective FROM rec_training_log WHERE model = 'm' ORDER BY sweep")]
    equal(len(objective), 30)
    assert objective[-1] < .5 * objective[0], objective


def test_by_cosine_too(shop):
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL + ", sharpness=14")
    equal([first(db, [i, (i + 1) % 12]) for i in range(12)], [(i + 2) % 12 for i in range(12)], "forwards")
    top = rows(db, "SELECT score FROM m WHERE user = 3")
    assert all(-14.001 <= score <= 14.001 for score, in top), top


def test_the_order_of_a_history_counts(shop):
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL)
    db.execute("INSERT INTO events VALUES(900, 3, 1, 10, 1), (900, 4, 1, 20, 1), (901, 3, 1, 20, 1), (901, 2, 1, 10, 1)")
    equal(one(db, "SELECT item FROM m WHERE user = 900 AND k = 1"), 5)
    equal(one(db, "SELECT item FROM m WHERE user = 901 AND k = 1"), 4)
    equal(one(db, "SELECT item FROM m WHERE user = 900 AND k = 1"), first(db, [3, 4]), "a cart in that order")


def test_what_came_again_is_read_again(shop):
    """A user's list, a scan's, an evaluation's and a cart's read every visit, as training does: 3, 4, 3 is neither 4, 3 nor 3, 4."""
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL)
    make_model(db, name="mix", algorithm="blend", more=""", fusion=log, models='[{"algorithm": "sequence", "dim": 16, "length": 8, "passes": 3}, {"algorithm": "popular"}]'""")
    db.execute("INSERT INTO events VALUES(900, 3, 1, 10, 1), (900, 4, 1, 20, 1), (900, 3, 1, 30, 1), (901, 4, 1, 10, 1), (901, 3, 1, 20, 1), (902, 4, 1, 30, 1), (902, 3, -1, 20, 1), (902, 3, 1, 10, 1)")
    for model in ("m", "mix"):
        ask = f"SELECT item, score FROM {model} WHERE %s AND k = 12"
        again, once, cart = rows(db, ask % "user = 900"), rows(db, ask % "user = 901"), rows(db, ask % "basket = '[3, 4, 3]'")
        equal(again, cart, "a cart in that order")
        assert again != once and once == rows(db, ask % "basket = '[4, 3]'")
        equal(rows(db, ask % "user = 902"), rows(db, ask % "basket = '[4]'"), "what was taken back is gone")
        equal(dict(rows(db, f"SELECT item, score FROM {model} WHERE user = 900 AND k = 12")), dict(rows(db, f"SELECT m.item, m.score FROM (SELECT DISTINCT user FROM events WHERE user >= 900) u JOIN {model} m ON m.user = u.user AND m.k = 12 WHERE u.user = 900")))
    db.execute("CREATE TABLE held AS SELECT 900 AS user, item FROM m WHERE user = 900 AND k = 12 AND rank = 4")
    equal(one(db, "SELECT value FROM rec_evaluate('m', 'held', '{\"k\": [12]}') WHERE metric = 'rr' AND model = 'm'"), 1 / 4)


def test_a_session_is_one_sequence(shop):
    """The last session alone decides, whatever came before."""
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL + ", session=visit")
    db.execute("INSERT INTO events VALUES(900, 8, 1, 10, 1), (900, 9, 1, 11, 1), (900, 2, 1, 20, 2), (900, 3, 1, 21, 2)")
    equal(rows(db, "SELECT item, score FROM m WHERE user = 900 AND k = 1"), rows(db, "SELECT item, score FROM m WHERE basket = '[2, 3]' AND k = 1"))


def test_the_same_bits_on_any_threads_and_kernels(shop):
    db = shop.connect("bits.db")
    walks(db, users=200)
    digests = set()
    for threads in (1, 2, 3, 8):
        db.execute("DROP TABLE IF EXISTS m")
        make_model(db, algorithm="sequence", more=SMALL.replace("passes=30", "passes=3"), train=False)
        db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps({"threads": threads}),))
        # the option threads itself is a part of what is digested
        digests.add(tuple(rows(db, "SELECT item, score FROM m WHERE basket = '[1, 2, 3]'")))
    code = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1]); db.enable_load_extension(True); db.load_extension(sys.argv[2])
db.execute("INSERT INTO m(m, arg) VALUES('train', '{\\"threads\\": 2}')"); db.commit()
print(db.execute("SELECT item, score FROM m WHERE basket = '[1, 2, 3]'").fetchall())"""
    for level, core in (("scalar", ""), ("avx2", ""), ("avx512", ""), ("avx2", "Prescott"), ("", "Nehalem")):  # OpenBLAS sums as the core likes
        done = subprocess.run([sys.executable, "-c", code, shop.path("bits.db"), EXTENSION], env={**os.environ, "REC_SIMD": level, **({"OPENBLAS_CORETYPE": core} if core else {})},
                              stdout=subprocess.PIPE, text=True, check=True)
        digests.add(tuple(eval(done.stdout)))
    equal(len(digests), 1, "threads, kernels and OpenBLAS's change nothing")


def test_it_goes_on_from_a_version_and_a_catalogue_that_grew(shop):
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL)
    db.execute("INSERT INTO events SELECT user + 500, item, n, t, visit FROM events")
    db.executemany("INSERT INTO events VALUES(?, ?, 1, ?, 1)", ((2000 + u, item, t) for u in range(20) for t, item in enumerate((10, 11, 77))))
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 1, \"passes\": 20, \"rate\": 0.005}')")
    losses = [value for value, in rows(db, "SELECT objective FROM rec_training_log WHERE model = 'm' AND version = 2 ORDER BY sweep")]
    alone = one(db, "SELECT objective FROM rec_training_log WHERE model = 'm' AND version = 1 AND sweep = 1")
    assert losses[0] < .7 * alone, (losses, alone)
    assert 77 in [item for item, in rows(db, "SELECT item FROM m WHERE basket = '[10, 11]' AND k = 2")]
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 1, \"dim\": 32}')", says="same dim")
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"algorithm\": \"ials\", \"factors\": 4}')")
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 3}')", says="init_from")


def held_user(db, more):
    """A model that held out the last item of user 900, the only one of three items or more: the others walk in pairs."""
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?, 1, ?)", [(user, (user * 5 + step) % 12, 10 * user + step) for user in range(80) for step in (0, 1)])
    db.execute("INSERT INTO events VALUES(900, 3, 1, 1), (900, 4, 1, 2), (900, 5, 1, 3), (900, 6, 1, 4)")
    for seed in range(1, 40):
        db.execute("DROP TABLE IF EXISTS m")
        make_model(db, algorithm="sequence", more=f"{SMALL}{more}, validation=0.5, seed={seed}")
        if one(db, "SELECT count(validation) FROM rec_training_log WHERE model = 'm'"):
            return
    raise AssertionError("nobody was ever held out")


def test_a_held_out_part_judges_each_pass(shop):
    """What is logged is the metric of the lists of those who are held out: of the last pass, those that the version has."""
    value = {"ndcg": lambda rank: 1 / math.log2(rank + 1), "hit": lambda rank: 1, "rr": lambda rank: 1 / rank}
    for metric in value:
        db = shop.connect()
        held_user(db, f", metric={metric}")
        log = [row[0] for row in rows(db, "SELECT validation FROM rec_training_log WHERE model = 'm' ORDER BY sweep")]
        equal(len(log), 30)
        rank = one(db, "SELECT rank FROM m WHERE basket = '[3, 4, 5]' AND k = 10 AND item = 6")
        equal(round(log[-1], 9), round(value[metric](rank), 9), metric)
        equal(json.loads(one(db, "SELECT log FROM m_versions"))[3][3], log[3], "stored")
        blob = one(db, "SELECT rec_train('m')")
        db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (blob,))
        equal([row[0] for row in rows(db, "SELECT validation FROM rec_training_log WHERE model = 'm' AND version = 2 ORDER BY sweep")], log, "in the version's own form")
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL)
    equal(one(db, "SELECT count(validation) FROM rec_training_log"), 0)


def test_patience_ends_with_the_best_pass(shop):
    db = shop.connect()
    held_user(db, ", patience=3, metric=rr")
    log = [row[0] for row in rows(db, "SELECT validation FROM rec_training_log WHERE model = 'm' ORDER BY sweep")]
    best = log.index(max(log))
    equal(len(log), min(30, best + 1 + 3), f"passes after the best one: {log}")
    equal(round(1 / one(db, "SELECT rank FROM m WHERE basket = '[3, 4, 5]' AND k = 12 AND item = 6"), 9), round(max(log), 9), "the version's")
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"validation\": 0, \"patience\": 2}')", says="patience needs validation")


def everything(db, name="m"):
    """All that a version answers: every item's vector, every user's list, a cart's."""
    return rows(db, f"SELECT * FROM rec_item_vectors('{name}')"), rows(db, f"SELECT u.user, m.item, m.score FROM (SELECT DISTINCT user FROM events) u JOIN {name} m ON m.user = u.user AND m.k = 12 ORDER BY 1, m.rank"), \
        rows(db, f"SELECT item, score FROM {name} WHERE basket = '[3, 1, 4]' AND k = 12")


def log_of(db, version):
    return rows(db, "SELECT sweep, objective, validation FROM rec_training_log WHERE model = 'm' AND version = ? ORDER BY sweep", version)


def test_a_training_in_pieces_has_the_bits_of_one_in_one_piece(shop):
    """Pauses after any pass, on another number of threads, by rec_train and load too; the log has all passes."""
    for more in ("", ", sharpness=14", ", validation=0.5, patience=4, metric=rr", ", sampled=5"):
        db = shop.connect()
        walks(db, users=100)
        chance = random.Random(1)
        db.executemany("INSERT INTO events VALUES(?, ?, 1, ?, 1)", [(500 + user, chance.randrange(12), t) for user in range(100) for t in range(6)])
        options = SMALL.replace("passes=30", "passes=9").replace(", sampled=0", "" if "sampled" in more else ", sampled=0") + more
        make_model(db, algorithm="sequence", more=options)
        whole, log = everything(db), log_of(db, 1)
        assert len(log) > 5, log
        db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"pause_after\": 1, \"threads\": 1}')")
        equal(log_of(db, 2), log[:1])
        assert everything(db) != whole
        db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 2, \"pause_after\": 2, \"threads\": 2}')")
        equal(log_of(db, 3), log[:3], "the log of what came before is there")
        blob = one(db, "SELECT rec_train('m', '{\"init_from\": 3, \"pause_after\": 1}')")
        db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (blob,))
        db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 4}')")
        equal(log_of(db, 5), log, f"all passes: {more}")
        equal(everything(db), whole, f"one piece or five: {more}")
        size = dict(rows(db, "SELECT version, bytes FROM rec_versions"))
        assert size[5] < 1.2 * size[1] and size[4] > 2 * size[1], size  # what a pause needs goes with it


def test_a_paused_training_goes_on_with_what_it_began_with_only(shop):
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL, train=False)
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"pause_after\": 3}')")
    for options in ({"passes": 31}, {"rate": .02}, {"seed": 9}, {"dropout": 0}, {"until": 20000}):
        refused(db, "INSERT INTO m(m, arg) VALUES('train', ?)", json.dumps({"init_from": 1, **options}), says=("init_from", "paused after 3 of 30 passes"))
    refused(db, "INSERT INTO m(m, arg) VALUES('train', ?)", json.dumps({"init_from": 1, "dim": 32}), says="same dim")
    db.execute("SAVEPOINT s")
    db.execute("INSERT INTO events VALUES(3, 5, 1, 99999, 3)")
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 1}')", says=("init_from", "events"))
    db.execute("ROLLBACK TO s")
    db.execute("UPDATE events SET item = 100 WHERE item = 11")  # the same ids, of another catalogue
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 1}')", says=("init_from", "events"))
    db.execute("ROLLBACK TO s")
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 1, \"pause_after\": 30}')")  # more than is left: to the end
    equal(one(db, "SELECT max(sweep) FROM rec_training_log WHERE version = 2"), 30)
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"init_from\": 2, \"passes\": 2}')")  # has ended: a warm start
    equal(one(db, "SELECT min(sweep) FROM rec_training_log WHERE version = 3"), 1)
    equal(one(db, "SELECT max(sweep) FROM rec_training_log WHERE version = 3"), 2)


def test_a_pause_is_no_part_of_a_setting(shop):
    """Folds, trials and parts of a blend train to the end."""
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", more=SMALL + ", pause_after=1", train=False)
    make_model(db, algorithm="sequence", more=SMALL, name="n", train=False)
    judge = "SELECT fold, value FROM rec_crossval('{}', '{{\"folds\": 2, \"seed\": 1}}') WHERE metric = 'ndcg' ORDER BY fold"
    equal(rows(db, judge.format("m")), rows(db, judge.format("n")))
    refused(db, "SELECT * FROM rec_crossval('n', '{\"train\": {\"pause_after\": 1}}')", says="pause_after has no place")
    refused(db, "INSERT INTO n(n, arg) VALUES('tune', '{\"space\": {\"pause_after\": [1, 2]}}')", says="pause_after cannot be tuned")
    refused(db, """CREATE VIRTUAL TABLE b USING rec_model(events=events, user=user, item=item, time=t, algorithm=blend, models='[{"algorithm":"sequence","pause_after":1}]')""", says=("models", "pause_after"))


def test_what_cannot_be_is_said_before_training(shop):
    db = shop.connect()
    walks(db)
    make_model(db, algorithm="sequence", train=False)
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"dim\": 20}')", says="multiple of 16")
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"memory\": 0.001}')", says="GiB (memory=0.001")
    db.execute("CREATE TABLE single(user, item, n, t)")
    db.execute("INSERT INTO single VALUES(1, 1, 1, 1), (2, 2, 1, 2)")
    make_model(db, "s", algorithm="sequence", train=False, events="single")
    db.execute("INSERT INTO s(s) VALUES('train')")  # nobody has two items: it answers all the same
    equal(len(rows(db, "SELECT item FROM s WHERE user = 1 AND k = 5")), 1)
    db.execute("CREATE VIRTUAL TABLE u USING rec_model(events=events, user=user, item=item, algorithm=sequence)")
    refused(db, "INSERT INTO u(u) VALUES('train')", says="sequence needs the order of the events")


def test_training_is_interrupted(shop):
    db = shop.connect()
    walks(db, users=3000, items=300)
    make_model(db, algorithm="sequence", more=SMALL)
    before = rows(db, "SELECT item, score FROM m WHERE user = 7")
    stop = threading.Timer(.5, db.interrupt)
    stop.start()
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"passes\": 10000, \"dim\": 128}')", says="interrupted")
    stop.join()
    equal(rows(db, "SELECT item, score FROM m WHERE user = 7"), before)


def test_a_blend_multiplies_what_its_parts_hold_likely(shop):
    """fusion=log, from the parts' own scores: log(1 + p / floor), p a share or a softmax."""
    import math
    db = shop.connect()
    walks(db)
    parts = [{"algorithm": "sequence", "weight": 2, "dim": 16, "length": 8, "passes": 5}, {"algorithm": "item_knn", "pairs": "ordered"}]
    make_model(db, algorithm="blend", train=False)
    db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps({"fusion": "log", "models": json.dumps(parts)}),))
    for i, part in enumerate(parts):
        make_model(db, f"p{i}", train=False)
        db.execute(f"INSERT INTO p{i}(p{i}, arg) VALUES('train', ?)", (json.dumps({k: v for k, v in part.items() if k != "weight"}),))
    everything = "SELECT item, score FROM {} WHERE user = 5 AND k = 12 AND options = '{{\"exclude_seen\": false}}'"
    got, logits, counts = (dict(rows(db, everything.format(name))) for name in ("m", "p0", "p1"))
    exponents = {item: math.exp(score) for item, score in logits.items()}
    share = lambda values, item: values.get(item, 0) / sum(values.values())
    floor = .1 / 12
    for item in got:
        want = 2 * math.log1p(share(exponents, item) / floor) + math.log1p(share(counts, item) / floor)
        assert abs(got[item] - want) < 1e-5 * want, (item, got[item], want)
    because = json.loads(one(db, "SELECT because FROM m WHERE user = 5 AND k = 1"))
    equal(because["source"], "history")
