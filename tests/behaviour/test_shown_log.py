"""What was shown and what followed, and the reports on it: experiments, interleaving, bandits."""
import collections, json, math, os, random, signal, sqlite3, subprocess, sys, time

from support import EXTENSION, equal, make_events, make_model, one, refused, rows, same_rows, shadow
from test_rollout import note, two_versions

SHOW = """INSERT INTO m(m, arg) SELECT 'shown', json_object('list', ?1, 'user', ?2, 'scenario', 'home', 'arm', max(arm), 'at', ?3, 'items',
    json_group_array(json_object('item', item, 'rank', rank, 'team', team, 'version', version, 'propensity', propensity))) FROM m WHERE user = ?2 AND k = 5"""


def put(db, command, **arg):
    db.execute("INSERT INTO m(m, arg) VALUES(?, ?)", (command, json.dumps(arg)))


# ---- the log ----


def test_a_list_is_logged_from_its_own_rows(shop):
    db = two_versions(shop)
    note(db, "canary", {"version": 2, "share": 0.5}, at=5)
    for user in (1, 2, 3, 4):
        db.execute(SHOW, (f"a{user}", user, 100 + user))
    for user in (1, 2, 3, 4):
        expected = rows(db, "SELECT item, rank, version, arm, propensity FROM m WHERE user = ? AND k = 5", user)
        equal(rows(db, "SELECT item, rank, version, arm, propensity FROM rec_shown('m') WHERE list = ?", f"a{user}"), expected)
    equal(rows(db, "SELECT DISTINCT list, user, at, scenario, experiment FROM rec_shown('m') LIMIT 1"), [("a1", 1, 101.0, "home", "canary")])
    refused(db, SHOW, "a1", 1, 200, says="this list is in the log already")


def test_everybodys_lists_are_logged_by_one_statement(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=5)
    db.execute("""INSERT INTO m(m, arg) SELECT 'shown', json_object('list', 'mail-' || user, 'user', user, 'arm', max(arm), 'at', 10, 'items',
        json_group_array(json_object('item', item, 'rank', rank, 'version', version))) FROM m WHERE k = 4 GROUP BY user""")
    same_rows(rows(db, "SELECT user, item, rank, arm, version FROM rec_shown('m')"), rows(db, "SELECT user, item, rank, arm, version FROM m WHERE k = 4"))


def test_what_the_caller_leaves_out_is_known(shop):
    db = two_versions(shop)
    put(db, "shown", list=1, user=7, items=[3, 4])
    equal(rows(db, "SELECT list, user, experiment, arm, version, item, rank, propensity FROM rec_shown('m')"), [(1, 7, None, None, 1, 3, 1, None), (1, 7, None, None, 1, 4, 2, None)])
    note(db, "canary", {"version": 2, "share": 0.5})
    for user in range(1, 15):
        put(db, "shown", list=f"l{user}", user=user, items=[1])
        equal(rows(db, "SELECT arm, version, experiment FROM rec_shown('m') WHERE list = ?", f"l{user}"),
              rows(db, "SELECT arm, version, 'canary' FROM m WHERE user = ? AND k = 1", user))
    put(db, "shown", list="nobody", items=[])
    equal(rows(db, "SELECT user, arm, item FROM rec_shown('m') WHERE list = 'nobody'"), [(None, None, None)])
    db.execute("CREATE TABLE te(user TEXT, item TEXT)")
    db.execute("INSERT INTO te VALUES('7', '1')")
    db.execute("CREATE VIRTUAL TABLE tm USING rec_model(events=te, user=user, item=item)")
    db.execute("INSERT INTO tm(tm, arg) VALUES('shown', '{\"list\": 1, \"user\": 7, \"items\": [1]}')")
    equal(rows(db, "SELECT user, item FROM rec_shown('tm')"), [("7", "1")])


def test_refusals_of_the_log_leave_it_alone(shop):
    db = two_versions(shop)
    put(db, "shown", list="a", user=1, items=[1, 2])
    put(db, "outcome", list="a", item=1, kind="click")
    before = shadow(db, "m")
    for command, arg, says in (("shown", {"user": 1, "items": []}, "list must be"), ("shown", {"list": "b", "items": 3}, "items must be an array"),
                               ("shown", {"list": "b", "items": [1, None]}, "item 2 is no integer or text"), ("shown", {"list": "b", "items": [{"item": 1, "propensity": 0}]}, "above 0"),
                               ("shown", {"list": "b", "items": [{"item": 1, "rank": 1}, {"item": 2, "rank": 1}]}, "rank 1"), ("shown", {"list": "b", "items": [{"item": 1, "rank": 0}]}, "1 or more"),
                               ("shown", {"list": "b", "item": []}, "unknown 'item'"), ("shown", {"list": "b", "items": [], "at": "soon"}, "at is unix seconds or a date"),
                               ("shown", {"list": "b", "items": [], "user": [1]}, "user must be"), ("shown", {"list": "b", "items": [], "scenario": 3}, "scenario must be a text"),
                               ("outcome", {"list": "zz", "kind": "click"}, "no such list"), ("outcome", {"kind": "click"}, "give a list or a user"), ("outcome", {"user": 1}, "kind"),
                               ("outcome", {"user": 1, "kind": "click", "value": "x"}, "value must be a number"), ("merge-user", {"from": 1}, "to must be")):
        for begin in (False, True):
            if begin:
                db.execute("BEGIN")
            refused(db, "INSERT INTO m(m, arg) VALUES(?, ?)", command, json.dumps(arg), says=says)
            equal(shadow(db, "m"), before, str(arg))
            if begin:
                db.execute("ROLLBACK")
    for junk in (None, "junk", "[]", "3"):
        refused(db, "INSERT INTO m(m, arg) VALUES('shown', ?)", junk, says="arg must be a JSON object")


def test_a_session_becomes_its_user(shop):
    db = two_versions(shop)
    for i, user in enumerate(("s9", "s9", 17)):
        put(db, "shown", list=i, user=user, items=[1])
    put(db, "outcome", user="s9", item=1, kind="cart", at=3)
    note(db, "merge-user", {"from": "s9", "to": 17})
    equal(rows(db, "SELECT DISTINCT user FROM rec_shown('m')"), [(17,)])
    equal(rows(db, "SELECT user, kind, at FROM rec_outcomes('m')"), [(17, "cart", 3.0)])
    detail = one(db, "SELECT detail FROM rec_audit('m') WHERE command = 'merge-user'")
    equal(detail, '{"rows":3}', "the log of commands says nothing of whom")


LOGGER = """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None); db.enable_load_extension(True); db.load_extension(sys.argv[2])
print("ready", flush=True)
for i in range(100000):
    db.execute("BEGIN")
    db.execute("INSERT INTO m(m, arg) VALUES('shown', ?)", (json.dumps({"list": i, "user": i % 50 + 1, "items": [1, 2, 3]}),))
    db.execute("INSERT INTO m(m, arg) VALUES('outcome', ?)", (json.dumps({"list": i, "item": 2, "kind": "click"}),))
    db.execute("INSERT INTO m(m, arg) VALUES('alias', ?)", (json.dumps({"champion": 1 + i % 2}),))
    db.execute("COMMIT")
"""


def test_a_killed_process_leaves_whole_transactions(shop):
    for mode in ("WAL", "DELETE"):
        db = two_versions(shop, f"{mode}.db")
        db.execute(f"PRAGMA journal_mode={mode}")
        note(db, "canary", {"version": 2, "share": 0.5})
        db.close()
        for round_ in range(4):
            process = subprocess.Popen([sys.executable, "-c", LOGGER.replace("range(100000)", f"range({round_ * 100000}, 10**9)"), shop.path(f"{mode}.db"), EXTENSION], stdout=subprocess.PIPE)
            process.stdout.readline()
            time.sleep(0.15 + 0.05 * round_)
            process.send_signal(signal.SIGKILL)
            process.wait()
            db = shop.connect(f"{mode}.db")
            equal(one(db, "PRAGMA integrity_check"), "ok")
            lists = one(db, "SELECT count(*) FROM m_lists")
            assert lists > 0
            equal(one(db, "SELECT count(*) FROM m_shown"), 3 * lists)
            equal(one(db, "SELECT count(*) FROM m_outcomes"), lists)
            equal(json.loads(one(db, "SELECT rec_audit_verify('m')"))["ok"], True)
            equal(one(db, "SELECT count(*) FROM m_audit"), lists + 3)
            db.close()


# ---- experiments ----


def simulate(db, users, arms, seed, kinds=("purchase",), begin=1000):
    """Lists and outcomes of users 1..users: arms {arm: (rate of purchase, mean of its value)}."""
    draw = random.Random(seed)
    db.execute("BEGIN")
    truth = collections.defaultdict(list)
    for user in range(1, users + 1):
        arm = one(db, "SELECT arm FROM m WHERE user = ? AND k = 1", user)
        for visit in range(draw.randrange(1, 4)):
            put(db, "shown", list=f"{user}-{visit}", user=user, items=[1, 2], at=begin + visit)
        bought = [round(draw.expovariate(1 / arms[arm][1]), 2) for _ in range(2) if draw.random() < arms[arm][0]]
        for value in bought:
            put(db, "outcome", user=user, kind="purchase", value=value, at=begin + 10)
        put(db, "outcome", user=user, kind="purchase", value=1000, at=begin - 5)  # before she was shown anything
        put(db, "outcome", user=user, kind="view", at=begin + 10)
        truth[arm].append((float(bool(bought)), sum(bought), visit + 1))
    db.execute("COMMIT")
    return truth


def test_the_report_is_what_plain_sums_say(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}, "metric": "conversion", "guards": ["revenue"]}, at=900)
    truth = simulate(db, 600, {"a": (0.2, 10), "b": (0.3, 10)}, 1)
    report = {(row[0], row[1]): row[2:] for row in rows(db, "SELECT arm, metric, users, lists, value, difference, low, high, p, verdict FROM rec_experiment('m', 'x', '{\"before\": 0}')")}
    for metric, at in (("conversion", 0), ("revenue", 1)):
        mean, var = {}, {}
        for arm in "ab":
            values = [user[at] for user in truth[arm]]
            n, mean[arm] = len(values), sum(values) / len(values)
            var[arm] = sum((v - mean[arm]) ** 2 for v in values) / (n - 1) / n
            users, lists, value = report[arm, metric][:3]
            equal((users, lists), (n, sum(user[2] for user in truth[arm])))
            assert abs(value - mean[arm]) < 1e-12, (metric, arm, value, mean[arm])
        difference, low, high, p = report["b", metric][3:7]
        assert abs(difference - (mean["b"] - mean["a"])) < 1e-12
        half = 1.9640 * math.sqrt(var["a"] + var["b"])  # t with about 590 degrees of freedom: 1.96400 by R's qt(.975, 590)
        assert abs(high - low - 2 * half) < 2e-4 * half, (high - low, 2 * half)
        welch = one(db, f"SELECT rec_welch_t(arm = 'b', value) FROM rec_experiment_users('m', 'x', '{{\"metric\": \"{metric}\"}}')")
        assert abs(json.loads(welch)["p"] - p) < 1e-9, (welch, p)
    equal(report["a", "conversion"][3:], (None, None, None, None, "control"))


def test_a_ratio_counts_users_and_not_lists(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}, "metric": "ctr"}, at=900)
    clicks, lists = collections.Counter(), collections.Counter()
    draw = random.Random(2)
    for user in range(1, 61):
        arm = one(db, "SELECT arm FROM m WHERE user = ? AND k = 1", user)
        for visit in range(user % 5 + 1):
            put(db, "shown", list=f"{user}-{visit}", user=user, items=[1], at=1000 + visit)
            lists[arm] += 1
            if draw.random() < 0.3:
                put(db, "outcome", list=f"{user}-{visit}", item=1, kind="click", at=1001 + visit)
                clicks[arm] += 1
    for arm, value in rows(db, "SELECT arm, value FROM rec_experiment('m')"):
        assert abs(value - clicks[arm] / lists[arm]) < 1e-12


def test_who_saw_two_arms_is_of_her_first_one(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=900)
    simulate(db, 40, {"a": (0.5, 1), "b": (0.5, 1)}, 3)
    for user in (1, 2, 3):
        other = {"a": "b", "b": "a"}[one(db, "SELECT arm FROM m WHERE user = ? AND k = 1", user)]
        put(db, "shown", list=f"other{user}", user=user, arm=other, items=[1], at=1005)
    equal(rows(db, "SELECT sum(users), max(several) FROM rec_experiment('m')"), [(40, 3)])
    equal({row[0] for row in rows(db, "SELECT arm FROM rec_experiment_users('m') WHERE several AND arm = (SELECT arm FROM rec_shown('m') WHERE user = rec_experiment_users.user ORDER BY at LIMIT 1)")}, {row[0] for row in rows(db, "SELECT arm FROM rec_experiment_users('m') WHERE several")})


def test_the_same_name_again_is_another_experiment(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=900)
    simulate(db, 40, {"a": (0.5, 1), "b": (0.5, 1)}, 3)
    note(db, "stop", at=2000)
    equal(one(db, "SELECT sum(users) FROM rec_experiment('m', 'x')"), 40)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "c": 2}, "salt": "again"}, at=3000)
    equal(one(db, "SELECT sum(users) FROM rec_experiment('m', 'x')"), 0)
    equal({row[0] for row in rows(db, "SELECT arm FROM rec_experiment('m', 'x')")}, {"a", "c"})
    refused(db, "SELECT * FROM rec_experiment('m', 'y')", says="there was no experiment 'y'")
    note(db, "stop", at=3001)
    refused(db, "SELECT * FROM rec_experiment('m')", says="no experiment runs: name one")
    refused(db, "SELECT * FROM rec_experiment('m', 'x', '{\"metric\": \"fun\"}')", says="metric 'fun'")
    refused(db, "SELECT * FROM rec_experiment('m', 'x', '{\"alpha\": 2}')", says="alpha=2")


def test_verdicts(shop):
    db = two_versions(shop, users=800)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}, "guards": ["revenue"], "end": "2100-01-01"}, at=900)
    equal({row[0] for row in rows(db, "SELECT verdict FROM rec_experiment('m')")}, {"control", "too few users"})
    simulate(db, 800, {"a": (0.2, 10), "b": (0.6, 1)}, 4)
    decided = one(db, "SELECT p_always FROM rec_experiment('m') WHERE arm = 'b' AND metric = 'revenue'") < 0.05
    equal(rows(db, "SELECT metric, verdict FROM rec_experiment('m') WHERE arm = 'b'"), [("conversion", "better"), ("revenue", "harmed" if decided else "undecided")])
    needed = one(db, "SELECT needed_users FROM rec_experiment('m') WHERE arm = 'b' AND metric = 'conversion'")
    assert needed > 1000, "five per cent of a fifth are not found with 400 users"
    db.execute("SAVEPOINT early")
    note(db, "stop", at=5000)
    equal(one(db, "SELECT verdict FROM rec_experiment('m', 'x') WHERE arm = 'b' AND metric = 'revenue'") == "harmed", decided, "who stops early has no fixed horizon")
    db.execute("ROLLBACK TO early")
    note(db, "stop", at="2100-01-02")
    assert one(db, "SELECT p FROM rec_experiment('m', 'x') WHERE arm = 'b' AND metric = 'revenue'") < 0.05
    equal(one(db, "SELECT verdict FROM rec_experiment('m', 'x') WHERE arm = 'b' AND metric = 'revenue'"), "harmed", "its horizon was fixed")


def test_shares_that_did_not_come_are_found(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=900)
    for user in range(1000):  # a bug: every fifth user of b loses its list
        arm = "b" if user % 2 else "a"
        if arm == "a" or user % 5:
            put(db, "shown", list=user, user=user, arm=arm, items=[1], at=1000)
    srm, verdict = rows(db, "SELECT srm_p, verdict FROM rec_experiment('m') WHERE arm = 'b'")[0]
    assert srm < 0.01, srm
    for user in range(1000, 12000):
        arm = "b" if user % 2 else "a"
        if arm == "a" or user % 5:
            put(db, "shown", list=user, user=user, arm=arm, items=[1], at=1000)
    equal(one(db, "SELECT verdict FROM rec_experiment('m') WHERE arm = 'b'"), "sample ratio mismatch")


def test_a_bandit_moves_the_shares_and_says_why(shop):
    db = two_versions(shop, users=400)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=900)
    refused(db, "INSERT INTO m(m) VALUES('bandit')", says="has 0 users (burn_in=100)")
    simulate(db, 400, {"a": (0.1, 1), "b": (0.5, 1)}, 5)
    db.execute("BEGIN")
    note(db, "bandit", {"seed": 3, "floor": 0.05}, at=2000)
    first = one(db, "SELECT detail FROM m_audit ORDER BY id DESC LIMIT 1")
    db.execute("ROLLBACK")
    note(db, "bandit", {"seed": 3, "floor": 0.05}, at=2000)
    equal(one(db, "SELECT detail FROM m_audit ORDER BY id DESC LIMIT 1"), first, "seeded")
    shares = dict(rows(db, "SELECT arm, share FROM rec_experiment('m')"))
    equal({arm: round(share, 6) for arm, share in shares.items()}, {"a": 0.05, "b": 0.95})
    note(db, "bandit", {"seed": 3, "floor": 0.05, "top_two": False}, at=2001)
    shares = dict(rows(db, "SELECT arm, share FROM rec_experiment('m')"))
    equal({arm: round(share, 6) for arm, share in shares.items()}, {"a": 0.05, "b": 0.95})
    equal(rows(db, "SELECT DISTINCT srm_p FROM rec_experiment('m')"), [(None,)], "shares that moved are no ratio to hold")
    equal(one(db, "SELECT verdict FROM rec_experiment('m') WHERE arm = 'b'"), "shares moved")


# ---- interleaving ----


def test_interleaving_credits_rows_lists_and_users(shop):
    db = two_versions(shop)
    note(db, "alias", {"other": 2})
    won = collections.Counter()
    credited = collections.Counter()
    draw = random.Random(6)
    for user in range(1, 61):
        own = collections.Counter()
        for visit in range(3):
            drawn = rows(db, "SELECT item, rank, team, version FROM m WHERE user = ? AND k = 6 AND options = ?", user, json.dumps({"interleave": "other", "draw": str(visit)}))
            name = f"{user}-{visit}"
            put(db, "shown", list=name, user=user, scenario="home", at=1000, items=[dict(zip(("item", "rank", "team", "version"), row)) for row in drawn])
            hits = collections.Counter()
            for item, rank, team, version in drawn:
                if draw.random() < (0.5 if team == "b" else 0.2):
                    put(db, "outcome", list=name, item=item, kind="click", at=1001)
                    put(db, "outcome", list=name, item=item, kind="click", at=1002)  # twice is once
                    hits[team] += 1
            credited += hits
            own["a" if hits["a"] > hits["b"] else "b" if hits["b"] > hits["a"] else "tie"] += 1
        won["a" if own["a"] > own["b"] else "b" if own["b"] > own["a"] else "tie"] += 1
    report = {row[0]: row[1:] for row in rows(db, "SELECT team, version, lists, credited, users, users_won, users_tied, preference, low, high, p FROM rec_interleaving('m', 'home')")}
    for team, version in (("a", 1), ("b", 2)):
        equal(report[team][:6], (version, 180, credited[team], 60, won[team], won["tie"]))
    preference = (won["b"] + won["tie"] / 2) / 60 - 0.5
    assert abs(report["b"][6] - preference) < 1e-12 and abs(report["a"][6] + preference) < 1e-12
    assert report["b"][7] <= preference <= report["b"][8] and report["b"][7] > 0
    equal((report["a"][7], report["a"][8]), (-report["b"][8], -report["b"][7]))
    n = won["a"] + won["b"]
    p = min(1, 2 * sum(math.comb(n, i) for i in range(min(won["a"], won["b"]) + 1)) / 2 ** n)
    assert abs(report["a"][9] - p) < 1e-9
    equal(rows(db, "SELECT * FROM rec_interleaving('m', 'cart')"), [])
    equal(rows(db, "SELECT sum(credited) FROM rec_interleaving('m', 'home', '{\"kind\": \"purchase\"}')"), [(0,)])


def test_reports_of_a_model_without_a_log_are_empty(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    for sql in ("SELECT * FROM rec_shown('m')", "SELECT * FROM rec_outcomes('m')", "SELECT * FROM rec_interleaving('m')"):
        equal(rows(db, sql), [], sql)
    refused(db, "SELECT * FROM rec_experiment('m')", says="no experiment runs")
    refused(db, "SELECT * FROM rec_shown('nobody')", says="no rec_model named 'nobody'")


def test_a_window_and_how_long_still(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=900)
    for user in range(1, 61):
        put(db, "shown", list=user, user=user, items=[1], at=1000 + user * 1440)  # an hour and 24 minutes in all: a day
        put(db, "outcome", user=user, kind="purchase", at=1000 + user * 1440 + (86400 if user % 3 else 20 * 86400))
    whole = dict(rows(db, "SELECT arm, value FROM rec_experiment('m', 'x', '{\"before\": 0}')"))
    equal(whole, {"a": 1.0, "b": 1.0})
    within = dict(rows(db, "SELECT arm, value FROM rec_experiment('m', 'x', '{\"before\": 0, \"window\": 7}')"))
    users = rows(db, "SELECT user, arm FROM rec_experiment_users('m', 'x')")
    for arm in "ab":
        own = [user for user, his in users if his == arm]
        assert abs(within[arm] - sum(user % 3 != 0 for user in own) / len(own)) < 1e-12
    needed, days, n = rows(db, "SELECT needed_users, needed_days, users FROM rec_experiment('m', 'x', '{\"before\": 0, \"window\": 7}') WHERE arm = 'b'")[0]
    pace = n / (59 * 1440 / 86400)
    assert abs(days - (needed - n) / pace) < 1e-6, (needed, days, n)
    equal(one(db, "SELECT needed_days FROM rec_experiment('m', 'x', '{\"effect\": 10, \"before\": 0, \"window\": 7}') WHERE arm = 'b'"), 0.0)
