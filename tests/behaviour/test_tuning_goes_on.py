"""Tuning that is halved, resumed, run without a lock (rec_tune), or part of every training (algorithm=auto)."""
import json, os, signal, subprocess, sys, threading, time

from support import EXTENSION, PRELUDE, equal, make_events, make_model, one, refused, rows
from test_tuning import FREE, GRID, clubs, settings, shop_of, trials, tune, versions

WIDE = {"algorithm": "item_knn", "k": 5, "activate": "never", "space": {"neighbours": {"min": 1, "max": 40}, "shrink": {"min": 0, "max": 50}, "similarity": ["cosine", "tfidf"]}}


def shares(db, tuning=None):
    return [row[0] for row in trials(db, tuning=tuning, columns="share")]


# ---- successive halving ----

def test_halving_gives_the_better_settings_more_users(shop):
    db = shop.connect()
    clubs(db, users=200)
    make_model(db, train=False)
    tune(db, WIDE, trials=9, halving=3, least_share=0.1, share=0.2)
    plain, *got = trials(db, columns="options, value, share, users")
    equal((plain[0], plain[2]), ('{"algorithm":"item_knn"}', 1.0), "the algorithm as it is, on everybody")
    equal([round(row[2], 6) for row in got], [round(1 / 9, 6)] * 9 + [round(1 / 3, 6)] * 3 + [1.0])
    first, second, last = got[:9], got[9:12], got[12:]
    order = [row[0] for row in sorted(first, key=lambda row: -row[1])]
    equal([row[0] for row in second], order[:3], "the best third goes on, the best first")
    equal(last[0][0], max(second, key=lambda row: row[1])[0])
    assert 5 < first[0][3] < second[0][3] < last[0][3], "more users each time"
    tune(db, {**GRID, "share": 0.2, "space": {name: [value] for name, value in json.loads(last[0][0]).items() if name != "algorithm"}, "activate": "never"})
    equal(trials(db, tuning=2, columns="value, users")[1:], [(last[0][1], last[0][3])], "the last round is the plain trial")


def test_only_a_setting_judged_on_everybody_is_served(shop):
    db = shop.connect()
    clubs(db, users=200)
    make_model(db, algorithm="popular")
    tune(db, WIDE, trials=9, halving=3, least_share=0.1, share=0.2, activate="if-better")
    kept = json.loads(one(db, "SELECT options FROM rec_versions WHERE version = 2"))
    (won, share), = rows(db, "SELECT options, share FROM rec_trials WHERE note LIKE 'chosen: %'")
    won = {name: value for name, value in json.loads(won).items() if name != "algorithm"}
    equal(({name: kept[name] for name in won}, share), (won, 1.0))
    tune(db, WIDE, trials=4, halving=2, activate="never")
    equal(shares(db, 2), [1.0] + [0.5] * 4 + [1.0] * 2, "by itself one round of halving")
    tune(db, WIDE, trials=8, halving=8, activate="never")
    equal(shares(db, 3), [1.0] + [0.125] * 8 + [1.0])
    tune(db, {"algorithm": "auto", "k": 5, "trials": 10, "halving": 2, "least_share": 0.25, "activate": "never", "share": 0.2})
    equal(shares(db, 4)[:18], [0.25] * 10 + [0.5] * 5 + [1.0] * 3, "all algorithms in one race")
    equal(set(shares(db, 4)[18:]) - {1.0}, set(), "and what the winners have to beat")


def test_halving_refuses_what_is_none(shop):
    db = shop_of(shop)
    for more, says in (({"halving": 1}, "halving=1"), ({"halving": 11}, "halving"), ({"least_share": -1}, "least_share"), ({"least_share": 2}, "least_share"), ({"halving": 3, "least_share": 0.4}, ("least_share=0.4", "0.33"))):
        refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", json.dumps(more), says=says)
    equal(trials(db), [])


# ---- resume ----

def test_a_resumed_tuning_is_the_one_that_was_not_interrupted(shop):
    for more in ({}, {"sampler": "random"}, {"halving": 2, "least_share": 0.25}):
        whole, parts = shop_of(shop), shop_of(shop)
        tune(whole, {**WIDE, "trials": 16, **more})
        first = {} if not more.get("halving") else {"seconds": 1e-9}
        tune(parts, {**WIDE, "trials": 5 if not first else 16, **more, **first})
        done = len(trials(parts))
        tune(parts, {**WIDE, "trials": 16, **more, "resume": True})
        equal(trials(parts, columns="trial, tuning, options, value, users, share"), trials(whole, columns="trial, tuning, options, value, users, share"), f"{more}, {done} first")
        tune(parts, {**WIDE, "trials": 16, **more, "resume": True})
        equal(len(trials(parts)), len(trials(whole)), "nothing is left to try")
        tune(parts, {**WIDE, "trials": 3, **more})
        equal(one(parts, "SELECT max(tuning) FROM rec_trials"), 2, "without resume it is a new one")


def test_the_best_of_all_parts_is_served(shop):
    db = shop.connect()
    clubs(db)
    make_model(db, train=False)
    tune(db, {**GRID, "share": 0.2, "activate": "never"})
    equal(versions(db), [])
    tune(db, {**GRID, "share": 0.2, "resume": True})
    equal((len(trials(db)), versions(db)), (7, [(1, 1, "item_knn")]), "no new trial, but now its best is served")


def test_resume_refuses_what_can_not_be_compared(shop):
    db = shop_of(shop)
    tune(db, {**GRID, "resume": True, "activate": "never"})
    equal(len(trials(db)), 7, "the first tuning has nothing to go on with")
    for more in ({"k": 6}, {"metric": "recall"}, {"split": "last"}, {"share": 0.3}, {"seed": 2}, {"exclude_seen": False}, {"until": 500}):
        refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", json.dumps({**GRID, **more, "resume": True}), says=("resume", "tuning 1"))
    db.execute("INSERT INTO events VALUES(1, 1, 1, 2000)")
    refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", json.dumps({**GRID, "resume": True}), says=("other events", "until"))
    equal(len(trials(db)), 7)


def test_until_keeps_a_tuning_where_it_was_while_events_come(shop):
    db = shop_of(shop)
    tune(db, {**GRID, "until": 900, "activate": "never", "trials": 2})
    db.execute("INSERT INTO events SELECT user, item, n, t + 900 FROM events WHERE t > 100")
    tune(db, {**GRID, "until": 900, "activate": "always", "resume": True})
    equal(one(db, "SELECT max(tuning) FROM rec_trials"), 1)
    equal(rows(db, "SELECT until, events FROM rec_versions WHERE version = 2"), [(900.0, one(db, "SELECT count(*) FROM events WHERE t < 900"))])
    fresh = shop_of(shop)
    fresh.execute("DELETE FROM events WHERE t >= 900")
    tune(fresh, {**GRID, "activate": "never"})
    equal([row[4] for row in trials(fresh)], [row[4] for row in trials(db)], "later events do not exist")


def test_trials_of_an_earlier_version_of_the_library(shop):
    db = shop_of(shop, "shop.db")
    tune(db, {**GRID, "activate": "never"})
    before = trials(db)
    db.execute("CREATE TABLE old AS SELECT trial, tuning, algorithm, options, metric, k, value, users, seconds, seed FROM m_trials")
    db.execute("DROP TABLE m_trials")
    db.execute("CREATE TABLE m_trials(trial INTEGER PRIMARY KEY, tuning INTEGER, algorithm TEXT, options TEXT, metric TEXT, k INTEGER, value REAL, users INTEGER, seconds REAL, seed INTEGER)")
    db.execute("INSERT INTO m_trials SELECT * FROM old")
    db.close()
    db = shop.connect("shop.db")
    equal((trials(db), shares(db)), (before, [1.0] * 7))
    refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", json.dumps({**GRID, "resume": True}), says="resume")
    tune(db, {**GRID, "activate": "never"})
    equal((trials(db)[:7], len(trials(db)), shares(db)), (before, 14, [1.0] * 14))
    tune(db, {**GRID, "activate": "never", "resume": True})
    equal(len(trials(db)), 14)


def test_a_large_space_gives_as_many_trials_as_are_asked_for(shop):
    """TPE comes back to a few good whole numbers: then chance goes on."""
    db = shop_of(shop)
    for seed in (1, 2, 3):
        tune(db, {"algorithm": "item_knn", "trials": 60, "activate": "never", "seed": seed})
        equal(len(trials(db, tuning=seed)), 61, f"seed {seed}")
        equal(len({row[1] for row in trials(db, tuning=seed)}), 61, "none twice")


def test_an_active_version_that_can_not_be_judged_blocks_nothing(shop):
    """Sessions cannot be tuned: such a version stays where the best is asked for by comparison, and training goes on."""
    db = shop_of(shop)
    db.execute("CREATE VIEW clicks AS SELECT *, user * 10 + t % 3 AS s FROM events")
    db.execute("CREATE VIRTUAL TABLE w USING rec_model(events=clicks, user=user, item=item, time=t, session=s, algorithm=auto, trials=5, k=5)")
    db.execute("INSERT INTO w(w, arg) VALUES('train', '{\"algorithm\":\"session_knn\"}')")
    tune(db, {"algorithm": "item_knn", "trials": 2}, "w")
    equal(versions(db, "w"), [(1, 1, "session_knn")], "nothing was beaten")
    db.execute("INSERT INTO w(w) VALUES('train')")
    equal(versions(db, "w")[-1][:2], (2, 1), "a training is a training")


# ---- rec_tune ----

def test_rec_tune_does_what_the_command_does(shop):
    db, command = shop.connect(), shop.connect()
    for connection in (db, command):
        clubs(connection)
        make_model(connection, algorithm="popular")
    tune(command, {**GRID, "share": 0.2})
    got = json.loads(one(db, "SELECT rec_tune('m', ?)", json.dumps({**GRID, "share": 0.2})))
    equal((trials(db), versions(db)), (trials(command), versions(command)))
    best = max(trials(db), key=lambda row: row[4])
    equal({name: got[name] for name in ("tuning", "trials", "new_trials", "metric", "k", "value", "version")}, {"tuning": 1, "trials": 7, "new_trials": 7, "metric": "ndcg", "k": 5, "value": best[4], "version": 2})
    equal(got["options"], json.loads(best[1]))
    assert 0 <= got["active_value"] < got["value"], got
    again = json.loads(one(db, "SELECT rec_tune('m', ?)", json.dumps({**GRID, "share": 0.2, "resume": True})))
    equal((again["new_trials"], again["version"], again["active_value"]), (0, None, got["value"]), "nothing new, nothing better")
    equal(rows(db, "SELECT version, action FROM rec_deployments"), [(1, "train"), (2, "tune")])


def test_rec_tune_writes_only_where_it_may(shop):
    db = shop_of(shop, "shop.db")
    db.execute("CREATE TABLE log(text)")
    for sql in ("INSERT INTO log SELECT rec_tune('m', '{\"trials\":1}')", "UPDATE m_config SET value = rec_tune('m') WHERE key = 'format'"):
        refused(db, sql, says=("rec_tune", "plain SELECT"))
    db.execute("CREATE VIEW tunes AS SELECT rec_tune('m')")
    refused(db, "SELECT * FROM tunes", says="unsafe use of rec_tune")
    for sql, says in (("SELECT rec_tune('nosuch')", "no rec_model named 'nosuch'"), ("SELECT rec_tune('m', '{\"trails\":1}')", "unknown option 'trails'"), ("SELECT rec_tune()", "arguments")):
        refused(db, sql, says=says)
    db.execute("PRAGMA query_only=ON")
    refused(db, "SELECT rec_tune('m', '{\"trials\":1}')", says="readonly")
    db.execute("PRAGMA query_only=OFF")
    equal((trials(db), len(versions(db))), ([], 1))
    db.execute("BEGIN")
    one(db, "SELECT rec_tune('m', ?)", json.dumps({**GRID, "activate": "always"}))
    equal((len(trials(db)), len(versions(db))), (7, 2), "inside a transaction it is part of it")
    db.execute("ROLLBACK")
    equal((trials(db), len(versions(db))), ([], 1))


def test_rec_tune_that_finds_the_file_locked_leaves_nothing_open(shop):
    db, other = shop_of(shop, "shop.db"), shop.connect("shop.db")
    one(db, "SELECT rec_tune('m', ?)", json.dumps({**GRID, "activate": "never"}))
    db.execute("PRAGMA busy_timeout=50")
    other.execute("BEGIN")
    rows(other, "SELECT count(*) FROM events")
    refused(db, "SELECT rec_tune('m', ?)", json.dumps({**GRID, "activate": "always", "resume": True}), says="locked")
    equal(db.in_transaction, False, "no transaction is left open")
    other.execute("COMMIT")
    other.execute("INSERT INTO events VALUES(1, 1, 1, 1)")
    other.execute("DELETE FROM events WHERE rowid = (SELECT max(rowid) FROM events)")
    equal((len(trials(db)), versions(db)), (7, [(1, 1, "item_knn")]))
    equal(json.loads(one(db, "SELECT rec_tune('m', ?)", json.dumps({**GRID, "activate": "always", "resume": True})))["version"], 2)
    equal(rows(db, "SELECT version, action FROM rec_deployments"), [(1, "train"), (2, "tune")])


def test_rec_tune_holds_no_lock_between_trials(shop):
    db, other = shop_of(shop, "shop.db"), shop.connect("shop.db")
    other.execute("PRAGMA busy_timeout=2000")
    done, failed = threading.Event(), []

    def run():
        try:
            one(db, "SELECT rec_tune('m', ?)", json.dumps({"algorithm": "ials", "trials": 40, "activate": "always", "space": {"factors": [32, 48], "sweeps": [10], "reg": {"min": 0, "max": 1}}}))
        except Exception as error:
            failed.append(error)
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    written = 0
    while not done.is_set():
        other.execute("INSERT INTO events VALUES(1, 1, 1, 5000)")
        written += 1
        time.sleep(0.005)
    thread.join()
    equal(failed, [])
    assert written > 10, f"{written} rows were written meanwhile"
    equal((len(trials(db)), len(versions(db))), (41, 1 + bool(one(db, "SELECT 1 FROM rec_deployments WHERE action = 'tune'"))))


def test_an_interrupt_or_a_kill_loses_one_trial(shop):
    options = {"algorithm": "ials", "trials": 60, "activate": "never", "k": 5, "space": {"factors": [16, 32], "sweeps": [10], "reg": {"min": 0, "max": 1}}}
    db, reference = shop_of(shop, "shop.db"), shop_of(shop)
    watcher = shop.connect("shop.db")
    tune(reference, options)

    def stop():
        while one(watcher, "SELECT count(*) FROM m_trials") < 3:
            time.sleep(0.002)
        db.interrupt()

    thread = threading.Thread(target=stop)
    thread.start()
    refused(db, "SELECT rec_tune('m', ?)", json.dumps(options), says="interrupted")
    thread.join()
    kept = len(trials(db))
    assert 3 <= kept < 60, kept
    child = subprocess.Popen([sys.executable, "-c", PRELUDE + "db.execute(\"SELECT rec_tune('m', ?)\", (sys.argv[3],)).fetchall()", shop.path("shop.db"), EXTENSION, json.dumps({**options, "resume": True})])
    while one(watcher, "SELECT count(*) FROM m_trials") < kept + 3 and child.poll() is None:
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    after = len(trials(db))
    assert kept + 3 <= after <= 61, after
    got = json.loads(one(db, "SELECT rec_tune('m', ?)", json.dumps({**options, "resume": True})))
    equal(got["new_trials"], 61 - after)
    equal(trials(db, columns="trial, options, value, users"), trials(reference, columns="trial, options, value, users"), "as if nothing had happened")
    equal(one(db, "PRAGMA integrity_check"), "ok")


# ---- algorithm=auto ----

def auto(db, name="m", more=", trials=10, k=5, share=0.2", time="time=t, "):
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_model(events=events, user=user, item=item, weight=n, {time}algorithm=auto{more})")


def test_auto_chooses_and_trains(shop):
    db = shop.connect("shop.db")
    clubs(db)
    auto(db)
    equal(rows(db, "SELECT algorithm, active, versions FROM rec_models"), [("auto", None, 0)])
    refused(db, "SELECT * FROM m(7, 5)", says="no version is active")
    db.execute("INSERT INTO m(m) VALUES('train')")
    listed = trials(db)
    equal((len(listed), {row[3] for row in listed}), (10, {5}), "the options of CREATE")
    best = max(listed, key=lambda row: row[4] if row[4] is not None else -1)
    equal(versions(db), [(1, 1, best[0])])
    equal(one(db, "SELECT events FROM rec_versions"), one(db, "SELECT count(*) FROM events"), "on all events")
    lists = rows(db, "SELECT item, score FROM m(7, 5)")
    equal(len(lists), 5)
    db.close()
    db = shop.connect("shop.db")
    equal((rows(db, "SELECT algorithm FROM rec_models"), rows(db, "SELECT item, score FROM m(7, 5)")), ([("auto",)], lists))
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"until\":800,\"activate\":\"never\",\"trials\":5}')")
    equal(rows(db, "SELECT version, active, until FROM rec_versions"), [(1, 1, None), (2, 0, 800.0)])
    equal(len(trials(db, tuning=2)), 5)
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"algorithm\":\"popular\"}')")
    equal((versions(db)[-1], len(trials(db))), ((3, 1, "popular"), 15), "an algorithm that is named is trained")
    blob = one(db, "SELECT rec_train('m', '{\"trials\":5}')")
    equal(len(trials(db)), 15, "rec_train only reads")
    db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (blob,))
    assert versions(db)[-1][2] != "popular", versions(db)
    tune(db, {"trials": 3})
    equal([row[0] for row in trials(db, tuning=3)], ["popular", "item_knn", "ials"], "tune's own default is the model's auto")


def test_auto_keeps_the_active_setting_where_it_is_the_best(shop):
    db = shop.connect()
    clubs(db)
    auto(db, more=", trials=1, k=5, share=0.2")  # the popular list alone
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"algorithm\":\"item_knn\",\"neighbours\":17}')")
    db.execute("INSERT INTO events VALUES(1, 1, 1, 5000)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal([row[0] for row in trials(db)], ["popular"])
    equal(rows(db, "SELECT version, active, algorithm, options ->> 'neighbours' FROM rec_versions")[-1], (2, 1, "item_knn", 17))
    equal(one(db, "SELECT events FROM rec_versions WHERE version = 2"), one(db, "SELECT count(*) FROM events"), "trained anew")


def test_a_training_that_fails_inside_a_transaction_leaves_no_trials(shop):
    db = shop.connect()
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("INSERT INTO events VALUES(1, 1, 1, 1), (2, 2, 1, 2)")
    auto(db, more=", trials=3")
    db.execute("BEGIN")
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.execute("COMMIT")
    equal(versions(db), [(1, 1, "item_knn")], "too small to judge: the defaults")
    db.execute("BEGIN")
    db.execute("INSERT INTO events VALUES(NULL, 1, 1, 1)")
    refused(db, "INSERT INTO m(m) VALUES('train')", says="events.user is NULL")
    db.execute("COMMIT")
    equal(one(db, "SELECT count(*) FROM rec_trials WHERE tuning > 1"), 0)


def test_auto_may_be_named_and_may_run_out_of_time(shop):
    db = shop.connect()
    clubs(db)
    auto(db)
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"algorithm\":\"auto\",\"trials\":5}')")
    equal((len(trials(db)), len(versions(db))), (5, 1))
    db.execute("CREATE VIRTUAL TABLE fresh USING rec_model(events=events, user=user, item=item, weight=n, time=t, algorithm=auto)")
    refused(db, "INSERT INTO fresh(fresh, arg) VALUES('train', '{\"seconds\":1e-9}')", says="the time was up")


def test_auto_without_times_holds_out_pairs(shop):
    db = shop.connect()
    clubs(db)
    auto(db, time="", more=", trials=5, k=5")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(len([row for row in trials(db) if row[4] is not None]), 5)
    equal(one(db, "SELECT count(*) FROM m(7, 5)"), 5)


def test_auto_says_what_is_wrong(shop):
    db = shop.connect()
    make_events(db, users=3)
    for more, says in ((", trails=3", ("unknown option 'trails'", "trials", "halving")), (", neighbours=3", "unknown option 'neighbours'"), (", trials=0", "trials"), (", resume=true", "unknown option 'resume'"), (", activate=never", "unknown option 'activate'")):
        try:
            auto(db, more=more)
        except Exception as error:
            for word in [says] if isinstance(says, str) else says:
                assert word in str(error), f"{more}: {error}"
        else:
            raise AssertionError(f"not refused: {more}")
    auto(db, more=", threads=1, seed=5, min_support=1, trials=2")
    db.execute("DELETE FROM events")
    db.execute("SAVEPOINT s")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(rows(db, "SELECT algorithm, value, note FROM rec_trials WHERE note IS NOT NULL"), [("item_knn", None, "too few events, or users with a past, to judge anything in the part that is held out: item_knn as it is")])
    db.execute("ROLLBACK TO s")
    refused(db, "SELECT rec_train('m', '{\"resume\":true}')", says="resume")
    refused(db, "SELECT * FROM rec_crossval('m')", says=("auto", "train"))
    equal(versions(db), [])
    listed = [row[0] for row in rows(db, "SELECT option FROM rec_options('auto')")]
    assert {"trials", "halving", "resume", "until", "seconds"} <= set(listed), listed
    refused(db, "SELECT * FROM rec_options('automatic')", says="no algorithm")
