"""What once went wrong in the life of a model: a test for each kind."""
import json, sqlite3, time

from support import equal, make_events, make_model, one, refused, rows, shadow
from test_rollout import note, two_versions
from test_shown_log import put


def command(db, name, arg=None, options=None):
    db.execute("INSERT INTO m(m, arg, options) VALUES(?, ?, ?)", (name, arg if arg is None or isinstance(arg, (int, str, bytes)) else json.dumps(arg), options))


def test_retain_by_days_counts_from_now(shop):
    db = two_versions(shop)
    put(db, "shown", list="old", user=1, items=[1], at=time.time() - 40 * 86400)
    put(db, "shown", list="new", user=1, items=[1])
    command(db, "retain", {"days": 30})
    equal(rows(db, "SELECT DISTINCT list FROM rec_shown('m')"), [("new",)])
    assert abs(json.loads(one(db, "SELECT detail FROM rec_audit('m') ORDER BY id DESC LIMIT 1"))["before"] - (time.time() - 30 * 86400)) < 60


def test_ranks_that_cannot_be_are_passed_over(shop):
    db = two_versions(shop)
    put(db, "shown", list=1, user=1, items=[{"item": i, "rank": i, "propensity": 0.5} for i in (1, 2)])
    put(db, "outcome", list=1, item=1, kind="click")
    for i in range(1, 200):
        db.execute("INSERT INTO m_shown(list, rank, item, propensity) VALUES(1, ?, ?, .5)", (-(1 << 32) + i, i))
    db.execute("INSERT INTO m_shown(list, rank, item, propensity) VALUES(1, 'x', 5, .5), (1, 1e300, 6, .5), (1, NULL, 7, .5), (1, 9223372036854775807, 8, .5)")
    equal([row[0] for row in rows(db, "SELECT rank FROM rec_position_bias('m')")], [1, 2])
    rows(db, "SELECT * FROM rec_ctr('m')")
    for sql in ("SELECT * FROM rec_off_policy('m', 1)", "SELECT * FROM rec_shown('m')"):
        try:
            rows(db, sql)
        except sqlite3.Error as error:
            assert "rank" in str(error), error


def test_keys_with_a_nul_are_whole_keys(shop):
    db = shop.connect()
    db.execute("CREATE TABLE events(user TEXT, item INTEGER, n, t)")
    for user in ("k1", "k1\0x", "k2"):
        for item in (1, 2, 3):
            db.execute("INSERT INTO events VALUES(?, ?, 1, 1)", (user, item))
    make_model(db)
    put(db, "shown", list="l\0a", user="k1\0x", items=[1])
    put(db, "shown", list="l", user="k1", items=[1])
    put(db, "outcome", list="l\0a", item=1, kind="click")
    equal(rows(db, "SELECT user, list FROM rec_shown('m')"), [("k1\0x", "l\0a"), ("k1", "l")])
    command(db, "forget", "k1\0x")
    equal([row[0] for row in rows(db, "SELECT DISTINCT user FROM events")], ["k1", "k2"])
    equal(rows(db, "SELECT user FROM rec_shown('m')"), [("k1",)])
    command(db, "forget", {"user": "k2"})
    equal([row[0] for row in rows(db, "SELECT DISTINCT user FROM events")], ["k1"])
    refused(db, "INSERT INTO m(m, arg) VALUES('outcome', ?)", json.dumps({"user": "k1", "kind": "click\0x"}), says="kind")
    # what looks like an object must be one: no user is called like that
    for text in ('{"user": 17,}', ' {"user"', '{"user": 1, "user": 2}'):
        refused(db, "INSERT INTO m(m, arg) VALUES('forget', ?)", text, says="forget: arg must be a JSON object")


def test_a_release_is_paid_for_each_time_it_is_looked_at(shop):
    db = two_versions(shop)
    for user in range(50):
        put(db, "outcome", user=user, item=5, kind="click")
    command(db, "privacy-budget", {"rho": 5})
    for keys in ([5, 5], [5, "5"], [1, 2, 1]):
        refused(db, "INSERT INTO m(m, arg) VALUES('release', ?)", json.dumps({"name": "x", "keys": keys}), says="a key is there twice")
    refused(db, "INSERT INTO m(m, arg) VALUES('release', '{\"name\": \"x\", \"scenario\": \"home\"}')", says="outcomes have no scenario")
    # within the statement that makes it, and in a trigger, it cannot be read
    refused(db, """INSERT INTO m(m, arg) SELECT 'release', '{"name": "x", "rho": 1}' UNION ALL SELECT 'c' || (SELECT max(value) FROM rec_released('m')), NULL""", says="can be read after COMMIT")
    equal(rows(db, "SELECT name FROM rec_ledger('m')"), [("budget",)])
    db.execute("CREATE TABLE ask(x)")
    db.execute("""CREATE TRIGGER peek AFTER INSERT ON ask BEGIN INSERT INTO m(m, arg) VALUES('release', '{"name": "x", "rho": 1}'); SELECT RAISE(ABORT, 'seen') FROM rec_released('m'); END""")
    refused(db, "INSERT INTO ask VALUES(1)", says="can be read after COMMIT")
    command(db, "release", {"name": "x", "rho": 1})
    equal(len(rows(db, "SELECT * FROM rec_released('m')")), 1, "afterwards it can")
    for rho in (0.5, 2):
        command(db, "privacy-budget", {"rho": 3}) if rho == 2 else None
    refused(db, "INSERT INTO m(m, arg) VALUES('privacy-budget', '{\"rho\": 4}')", says="never raised")
    fresh = two_versions(shop, "fresh.db")
    command(fresh, "privacy-budget", {"rho": 0})
    refused(fresh, "INSERT INTO m(m, arg) VALUES('privacy-budget', '{\"rho\": 1}')", says="never raised")
    empty = two_versions(shop, "empty.db")
    command(empty, "privacy-budget", {"rho": 50})
    command(empty, "release", {"name": "x", "rho": 20})
    assert abs(rows(empty, "SELECT value FROM rec_released('m')")[0][0]) <= 3, "that nothing was logged is told with noise, too"
    command(db, "release", {"name": "tenths", "kind": "click", "sum": True, "cap": 0.3, "unit": 0.1, "rho": 0.5})
    equal(round(rows(db, "SELECT deviation FROM rec_ledger('m') WHERE name = 'tenths'")[0][0], 6), round(0.1 * 3 / (2 * rows(db, "SELECT rho FROM rec_ledger('m') WHERE name = 'tenths'")[0][0]) ** 0.5, 6), "three steps")


def test_a_name_that_is_a_view_over_the_question_ends(shop):
    db = shop.connect()
    make_events(db)
    db.execute("CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT)")
    db.execute("INSERT INTO names SELECT value, 'item ' || value FROM json_each('[1,2,3,4,5,6,7,8,9]')")
    db.execute("CREATE VIEW it AS SELECT * FROM names")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, items=it, item_key=id, item_text=name)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    user, item = rows(db, "SELECT user, item FROM m WHERE user = 7 AND k = 1")[0]
    assert one(db, "SELECT rec_reason('m', ?, ?)", user, item)
    db.execute("DROP VIEW it")
    db.execute(f"CREATE VIEW it AS SELECT id, rec_reason('m', {user}, {item}) AS name FROM names")
    refused(db, "SELECT rec_reason('m', ?, ?)", user, item, says="reads a view that reads it")


def test_propensities_are_1_where_no_experiment_routes(shop):
    db = two_versions(shop)
    for terms in ({"start": "2100-01-01"}, {"end": "2001-01-01"}):
        note(db, "experiment", dict({"name": "x", "arms": {"a": 1, "b": 2}}, **terms))
        equal(rows(db, "SELECT DISTINCT version, arm, propensity FROM m WHERE user = 2 AND k = 3"), [(1, None, 1.0)])
        note(db, "stop")
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}})
    for question in ("basket = '[1, 2]'", "similar_to = 3"):
        equal(rows(db, f"SELECT DISTINCT arm, propensity FROM m WHERE {question} AND k = 3"), [(None, 1.0)])
    # coins that nobody tosses are no chance
    equal({row[0] for row in rows(db, "SELECT propensity FROM m WHERE basket = '[1, 2]' AND k = 3 AND options = '{\"swap\": 2}'")}, {None})
    equal({row[0] for row in rows(db, "SELECT propensity FROM m WHERE basket = '[1, 2]' AND k = 2 AND options = '{\"interleave\": \"2\"}'")}, {None})
    assert None not in {row[0] for row in rows(db, "SELECT propensity FROM m WHERE basket = '[1, 2]' AND k = 3 AND options = '{\"swap\": 2, \"draw\": \"x\"}'")}


def test_a_list_that_falls_back_has_propensities(shop):
    db = two_versions(shop, "damaged.db")
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}})
    for damage in ("UPDATE m_versions SET sha256 = '0' || substr(sha256, 2) WHERE version = 2", "DELETE FROM m_versions WHERE version = 2"):
        db.execute("SAVEPOINT s")
        db.execute(damage)
        for user in range(1, 9):
            expected = rows(db, "SELECT item FROM m WHERE user = ? AND k = 3", user)
            found = rows(db, "SELECT item, propensity, version FROM m WHERE user = ? AND k = 3", user)
            equal([(item,) for item, *_ in found], expected)
            equal({(propensity, version) for _, propensity, version in found}, {(1.0, 1)}, "whichever arm she is in, the same list comes")
        db.execute("ROLLBACK TO s")
        db.execute("RELEASE s")


def test_what_is_live_can_always_be_read_back(shop):
    db = two_versions(shop)
    note(db, "train", {"algorithm": "ease", "activate": "never"})
    note(db, "experiment", {"name": "canary", "arms": {"a": 1, "b": 2, "c": 3}}, at=10 ** 9 * 2)
    refused(db, "INSERT INTO m(m, arg) VALUES('canary', '{\"version\": 2, \"share\": 0.5}')", says="the experiment 'canary' runs")
    for shares in ([0, 1 / 3, 2 / 3], [1 / 6, 1 / 6, 2 / 3], [1e-9, 0.5, 0.5], [0, 0.5, 0.5]):
        db.execute("BEGIN")
        try:
            command(db, "shares", {"shares": shares})
        except sqlite3.Error as error:
            assert "more than 1" in str(error), error
        equal(len(rows(db, "SELECT item FROM m WHERE user = 3 AND k = 3")), 3)
        db.execute("COMMIT")
    for user in range(30):
        put(db, "shown", list=user, user=user, arm="abc"[user % 3], experiment="canary", items=[1], at=10 ** 9 * 2 + 1)
    for seed in range(12):
        db.execute("BEGIN")
        command(db, "bandit", {"floor": 0, "draws": 101, "seed": seed, "burn_in": 2})
        db.execute("COMMIT")
        equal(len(rows(db, "SELECT item FROM m WHERE user = 3 AND k = 3")), 3)
        shares = [row[0] for row in rows(db, "SELECT share FROM rec_experiment('m')")]
        assert min(shares) >= 0 and abs(sum(shares) - 1) < 1e-8, shares
    command(db, "stop")


def test_a_command_that_fails_leaves_nothing_inside_begin(shop):
    db = two_versions(shop)
    db.execute("CREATE VIRTUAL TABLE u USING rec_model(events=events, user=user, item=item, algorithm=user_knn)")
    db.execute("INSERT INTO u(u) VALUES('train')")
    note(db, "activate", 1, at=10 ** 9)
    blob = one(db, "SELECT rec_train('m')")
    note(db, "export", {"version": 2, "to": "shipped"}, at=10 ** 9)
    db.execute("UPDATE shipped SET data = json_set(data, '$.tags', json('{\"bad tag!\": 1}')) WHERE part = 0")
    before = list(db.iterdump())
    for sql, arguments, says in (("INSERT INTO u(u, arg) VALUES('forget', ?)", ('{"user": 3, "versions": "drop"}',), "cannot be dropped"),
                                 ("INSERT INTO m(m, arg, options) VALUES('load', ?, ?)", (blob, '{"at": 5}'), "before the last command"),
                                 ("INSERT INTO m(m, arg) VALUES('import', ?)", ('{"from": "shipped"}',), "tag 'bad tag!'")):
        db.execute("BEGIN")
        refused(db, sql, *arguments, says=says)
        db.execute("COMMIT")
        equal(list(db.iterdump()), before, sql)
    other = shop.connect("other.db")
    make_events(other)
    make_model(other, train=False)
    other.execute("CREATE TABLE m_audit(mine)")
    before = shadow(other, "m")
    other.execute("BEGIN")
    refused(other, "INSERT INTO m(m) VALUES('train')", says="m_audit is not this model's table")
    other.execute("COMMIT")
    equal(shadow(other, "m"), before)


def test_tables_with_a_trigger_go_with_the_model(shop):
    db = two_versions(shop)
    put(db, "shown", list=1, user=1, items=[1])
    db.execute("CREATE TRIGGER watch AFTER INSERT ON m_lists BEGIN SELECT 1; END")
    refused(db, "INSERT INTO m(m, arg) VALUES('shown', '{\"list\": 2, \"items\": []}')", says="has a trigger")
    db.execute("DROP TABLE m")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name GLOB 'm_*'"), [])


def test_an_export_lands_where_it_is_sent(shop):
    db = two_versions(shop)
    db.execute("ATTACH ':memory:' AS Aux")
    for to, schema in (("Aux.t1", "Aux"), ("aux.t2", "Aux"), ("temp.t3", "temp"), ("t4", "main"), ("main.t5", "main")):
        note(db, "export", {"version": 1, "to": to})
        equal(one(db, f"SELECT count(*) FROM {schema}.sqlite_schema WHERE name = ?", to.split(".")[-1]), 1, to)


def test_a_damaged_table_hides_no_other(shop):
    db = two_versions(shop)
    make_model(db, "whole")
    for damage in ("UPDATE m_config SET value = '{bad' WHERE key = 'live'", "INSERT INTO m_facts VALUES(1, 'tag:x', x'00')", "UPDATE m_audit SET live = '{bad'", "UPDATE m_audit SET detail = '{bad'", "UPDATE m_config SET value = x'00' WHERE key = 'live'"):
        note(db, "alias", {"champion": 1})
        db.execute("SAVEPOINT s")
        db.execute(damage)
        for sql in ("SELECT model FROM rec_versions", "SELECT model FROM rec_deployments"):
            assert ("whole",) in rows(db, sql), (damage, sql)
        assert 'table="whole"' in one(db, "SELECT rec_prometheus()"), damage
        db.execute("ROLLBACK TO s")
        db.execute("RELEASE s")


def test_the_chain_sees_what_is_behind_a_nul(shop):
    db = two_versions(shop)
    note(db, "alias", {"champion": 1}, note="why")
    for change in ("note = note || char(0) || 'evil'", "note = CAST(note AS BLOB)", "author = 7", "detail = detail || char(0)"):
        db.execute("SAVEPOINT s")
        db.execute(f"UPDATE m_audit SET {change} WHERE command = 'alias'")
        equal(json.loads(one(db, "SELECT rec_audit_verify('m')"))["ok"], False, change)
        db.execute("ROLLBACK TO s")
        db.execute("RELEASE s")
    equal(json.loads(one(db, "SELECT rec_audit_verify('m')"))["ok"], True)


def test_an_event_of_many_columns_is_handed_over(shop):
    db = shop.connect()
    names = [f"c{i}" for i in range(80)]
    db.execute(f"CREATE TABLE events(user, item, {', '.join(names)})")
    db.execute(f"INSERT INTO events VALUES(1, 2, {', '.join('?' * 80)})", [f"v\"{i}" if i % 2 else i / 4 for i in range(80)])
    db.execute("INSERT INTO events(user, item) VALUES(2, 2)")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item)")
    row = json.loads(one(db, "SELECT row FROM rec_export_user('m', 1)"))
    equal((len(row), row["c3"], row["c8"]), (82, 'v"3', 2))


def test_what_is_logged_is_what_was_said(shop):
    db = two_versions(shop)
    for item, says in (({"item": 1, "rank": "7"}, "rank and version are integers"), ({"item": 1, "version": "champion"}, "rank and version are integers"), ({"item": 1, "score": 3}, "unknown 'score'")):
        refused(db, "INSERT INTO m(m, arg) VALUES('shown', ?)", json.dumps({"list": 1, "items": [item]}), says=says)
    refused(db, "INSERT INTO m(m, arg) VALUES('shown', '{\"list\": 1, \"version\": \"champion\", \"items\": []}')", says="version is an integer")
    put(db, "shown", list=1, user=4, items=[1])
    put(db, "outcome", list=1, user=None, item=1, kind="click")
    equal(rows(db, "SELECT user FROM rec_outcomes('m')"), [(4,)])


# ---- statistics ----


def test_an_end_that_has_come_decides_without_a_stop(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}, "end": 5000}, at=900)
    for user in range(600):
        arm = "ab"[user % 2]
        put(db, "shown", list=user, user=user, arm=arm, experiment="x", items=[1], at=1000)
        if user % 20 < (4 if arm == "a" else 7):
            put(db, "outcome", user=user, kind="purchase", at=1001)
    p, always, verdict = rows(db, "SELECT p, p_always, verdict FROM rec_experiment('m') WHERE arm = 'b'")[0]
    assert p < 0.05 < always, (p, always)
    equal(verdict, "better", "the end that was set has come")


def test_holm_counts_comparisons(shop):
    db = two_versions(shop)
    note(db, "train", {"algorithm": "ease", "activate": "never"})
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2, "c": 3}})
    at = time.time() + 1
    for user in range(900):
        put(db, "shown", list=user, user=user, arm="abc"[user % 3], items=[1], at=at)
        if user // 3 % 10 < (2, 3, 3.5)[user % 3]:
            put(db, "outcome", user=user, kind="purchase", at=at + 1)
    raw = {}
    for arm in "bc":
        welch = one(db, f"SELECT rec_welch_t(arm = '{arm}', value) FROM rec_experiment_users('m') WHERE arm IN ('a', '{arm}')")
        raw[arm] = json.loads(welch)["p"]
    least, most = sorted(raw, key=raw.get)
    found = dict(rows(db, "SELECT arm, p FROM rec_experiment('m')"))
    assert abs(found[least] - min(1, 2 * raw[least])) < 1e-9 and abs(found[most] - max(min(1, 2 * raw[least]), raw[most])) < 1e-9, (found, raw)


def test_clicks_a_list_are_clicks_of_those_lists(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}, "metric": "ctr"}, at=900)
    for user in range(20):
        for visit in range(10):
            name = f"{user}-{visit}"
            put(db, "shown", list=name, user=user, arm="ab"[user % 2], scenario="home" if visit == 0 else "mail", items=[1], at=1000 + visit * 86400)
            put(db, "outcome", list=name, item=1, kind="click", at=1001 + visit * 86400)
        put(db, "outcome", user=user, kind="click", at=1002)  # of no list
    for options in ("{}", '{"window": 1}', '{"scenario": "home"}', '{"window": 3.5}'):
        equal(rows(db, "SELECT DISTINCT value FROM rec_experiment('m', 'x', ?)", options), [(1.0,)], options)
    equal(rows(db, "SELECT DISTINCT lists FROM rec_experiment_users('m', 'x', '{\"window\": 3.5}')"), [(4,)])


def test_nothing_varies_is_no_interval(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=900)
    for user in range(4):
        put(db, "shown", list=user, user=user, arm="ab"[user % 2], items=[1], at=1000)
        if user % 2:
            put(db, "outcome", user=user, kind="purchase", at=1001)
    equal(rows(db, "SELECT difference, low, high, low_always, high_always, p, verdict FROM rec_experiment('m') WHERE arm = 'b'"), [(1.0, None, None, None, None, None, "too few users")])


def test_equal_arms_are_no_swaps(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}})
    for user in range(1, 41):
        shown = rows(db, "SELECT item, rank, propensity FROM m WHERE user = ? AND k = 2", user)
        put(db, "shown", list=user, user=user, items=[dict(zip(("item", "rank", "propensity"), row)) for row in shown])
    equal(rows(db, "SELECT * FROM rec_position_bias('m')"), [])


def test_a_short_list_overlaps_with_itself(shop):
    db = two_versions(shop)
    equal({round(row[0], 9) for row in rows(db, "SELECT rbo FROM rec_shadow('m', 1, 1, '{\"k\": 900}')")}, {1.0})


def test_off_policy_says_where_it_must_not_be_believed(shop):
    db = two_versions(shop)
    for user in range(1, 41):
        shown = rows(db, "SELECT item, rank FROM m WHERE user = ? AND k = 3", user)
        put(db, "shown", list=user, user=user, scenario="wrong", items=[{"item": item, "rank": rank, "propensity": 0.4} for item, rank in shown])  # it was always this list
        if user <= 5:
            put(db, "shown", list=f"f{user}", user=user, scenario="few", items=[{"item": item, "rank": rank, "propensity": 1} for item, rank in shown])
    for scenario, verdict in (("wrong", "wrong propensities"), ("few", "too few users")):
        equal(rows(db, "SELECT DISTINCT verdict FROM rec_off_policy('m', 1, ?) WHERE estimator <> 'logged'", json.dumps({"scenario": scenario, "least": 2})), [(verdict,)])


def test_a_guard_is_unharmed_within_its_margin(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}, "guards": ["count:view"]}, at=900)
    db.execute("BEGIN")
    for user in range(3000):
        put(db, "shown", list=user, user=user, arm="ab"[user % 2], items=[1], at=1000)
        for _ in range(4 + user // 2 % 3):
            put(db, "outcome", user=user, kind="view", at=1001)
    db.execute("COMMIT")
    verdict = lambda **options: one(db, "SELECT verdict FROM rec_experiment('m', 'x', ?) WHERE arm = 'b' AND metric = 'count:view'", json.dumps(options))
    equal(verdict(), "not harmed", "no difference, and the interval is narrower than a tenth")
    equal(verdict(margin=0.001), "undecided")
    equal(one(db, "SELECT verdict FROM rec_experiment('m', 'x', '{\"metric\": \"count:view\"}') WHERE arm = 'b'"), "undecided", "as a metric it is no better")
    db.execute("BEGIN")
    for user in range(0, 3000, 2):
        for _ in range(2):
            put(db, "outcome", user=user, kind="view", at=1002)
    db.execute("COMMIT")
    equal(verdict(), "harmed")
    note(db, "stop", at=5000)
    equal(one(db, "SELECT verdict FROM rec_experiment('m', 'x') WHERE arm = 'b' AND metric = 'conversion'"), "no difference found")
