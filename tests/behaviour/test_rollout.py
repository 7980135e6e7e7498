"""Aliases, canaries, experiments, interleaving, the log of commands: who was answered by which version, and when."""
import collections, json, math, multiprocessing, random, re, sqlite3

from support import EXTENSION, Shop, equal, make_events, make_model, one, refused, rows, same_rows, shadow

DAY = 86400


def note(db, command, arg=None, at=None, name="m", **options):
    if at is not None:
        options["at"] = at
    db.execute(f"INSERT INTO {name}({name}, arg, options) VALUES(?, ?, ?)",
               (command, arg if arg is None or isinstance(arg, (int, str)) else json.dumps(arg), json.dumps(options) if options else None))


def two_versions(shop, name=None, users=60):
    """Version 1 active, version 2 another one: lists that differ."""
    db = shop.connect(name)
    make_events(db, users=users)
    make_model(db, train=False)
    note(db, "train", at=0)
    note(db, "train", {"algorithm": "popular", "activate": "never"}, at=0)
    return db


def arms(db, n=60):
    return {user: one(db, "SELECT arm FROM m WHERE user = ? AND k = 1", user) for user in range(1, n + 1)}


# ---- aliases and facts ----


def test_an_alias_is_a_version_that_loads(shop):
    db = two_versions(shop)
    note(db, "alias", {"champion": 1, "new": 2})
    refused(db, """INSERT INTO m(m, arg) VALUES('alias', '{"x": 3}')""", says="there is no version 3")
    refused(db, """INSERT INTO m(m, arg) VALUES('alias', '{"x": "nobody"}')""", says="there is no alias 'nobody'")
    refused(db, """INSERT INTO m(m, arg) VALUES('alias', '{"active": 1}')""", says="'active' is what activate sets")
    refused(db, """INSERT INTO m(m, arg) VALUES('alias', '{"a b": 1}')""", says="alias 'a b' (1 to 63 letters")
    refused(db, """INSERT INTO m(m, arg) VALUES('alias', '[1]')""", says="arg must be a JSON object")
    refused(db, """INSERT INTO m(m, arg) VALUES('alias', '{"gone": null}')""", says="there is no alias 'gone'")
    note(db, "alias", {"champion": "new"})
    same_rows(rows(db, "SELECT version, aliases FROM rec_versions"), [(1, "[]"), (2, '["new","champion"]')])
    db.execute("UPDATE m_chunks SET data = zeroblob(10) WHERE version = 1")
    refused(db, """INSERT INTO m(m, arg) VALUES('alias', '{"old": 1}')""", says="version 1")
    note(db, "alias", {"champion": None})
    equal(one(db, "SELECT json_extract(value, '$.aliases') FROM m_config WHERE key = 'live'"), '{"new":2}')


def test_an_alias_answers_and_keeps_its_version(shop):
    db = two_versions(shop)
    note(db, "alias", {"new": 2})
    equal(rows(db, """SELECT item, version FROM m WHERE user = 5 AND k = 4 AND options = '{"at": "new"}'"""),
          rows(db, """SELECT item, version FROM m WHERE user = 5 AND k = 4 AND options = '{"version": 2}'"""))
    refused(db, """SELECT * FROM m WHERE user = 5 AND k = 4 AND options = '{"at": "old"}'""", says="there is no alias 'old'")
    refused(db, """SELECT * FROM m WHERE user = 5 AND k = 4 AND options = '{"at": "new", "version": 1}'""", says="give one of version, at and arm")
    for _ in range(3):
        note(db, "train", {"keep": 1})
    equal([row[0] for row in rows(db, "SELECT version FROM rec_versions")], [2, 4, 5], "the alias, the one before, the newest")
    note(db, "activate", "new")
    equal(one(db, "SELECT version FROM m WHERE user = 5 AND k = 1"), 2)


def test_tags_and_notes_stay_with_their_version(shop):
    db = two_versions(shop)
    note(db, "annotate", {"version": 2, "tags": {"season": "winter", "round": 3}, "note": "plain"})
    equal(rows(db, "SELECT version, json(tags), note FROM rec_versions"), [(1, "{}", None), (2, '{"round":3,"season":"winter"}', "plain")])
    note(db, "annotate", {"version": 2, "tags": {"round": None}})
    equal(rows(db, "SELECT tags, note FROM rec_versions WHERE version = 2"), [('{"season":"winter"}', "plain")])
    refused(db, """INSERT INTO m(m, arg) VALUES('annotate', '{"version": 2, "tags": {"a": [1]}}')""", says="tag 'a'")
    refused(db, """INSERT INTO m(m, arg) VALUES('annotate', '{"version": 2, "tag": {}}')""", says="unknown 'tag'")
    note(db, "drop-version", 2)
    equal(one(db, "SELECT count(*) FROM m_facts WHERE version = 2"), 0, "its facts go with it")


# ---- experiments ----


def test_everybody_and_each_alone_are_in_the_same_arm(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"control": 1, "plain": 2}, "shares": [0.5, 0.3]})
    alone = arms(db)
    equal(set(alone.values()), {None, "control", "plain"}, "two arms, and those whom they leave out")
    listed = rows(db, "SELECT user, item, rank, version, arm FROM m WHERE k = 3")
    equal({row[0]: row[4] for row in listed}, alone)
    for user in (1, 2, 3, 4, 5):
        version = 2 if alone[user] == "plain" else 1
        equal(rows(db, "SELECT item, rank, version FROM m WHERE user = ? AND k = 3", user), [row[1:4] for row in listed if row[0] == user])
        equal(rows(db, "SELECT item FROM m WHERE user = ? AND k = 3", user),
              rows(db, "SELECT item FROM m WHERE user = ? AND k = 3 AND options = ?", user, json.dumps({"version": version})))
    equal(len(listed), 3 * 60, "nobody twice, nobody left out")
    equal(len(set(rows(db, "SELECT user, rank FROM m WHERE k = 2 AND item IN (1, 2, 3) AND options = '{\"exclude_seen\": false}'"))), 120,
          "an IN list holds in every arm")


def test_whose_share_grows_keeps_its_users(shop):
    db = two_versions(shop)
    before = None
    for share in (0.1, 0.3, 0.6):
        note(db, "canary", {"version": 2, "share": share})
        now = {user for user, arm in arms(db).items() if arm == "canary"}
        assert before is None or before <= now, "nobody leaves a canary that grows"
        before = now
    assert 0 < len(now) < 60
    refused(db, """INSERT INTO m(m, arg) VALUES('canary', '{"version": 1, "share": 0.1}')""", says="version 1 is active already")
    refused(db, """INSERT INTO m(m, arg) VALUES('canary', '{"version": 2, "share": 1.5}')""", says="share is a number between 0 and 1")


def arms_of_a_process(path, queue):
    db = sqlite3.connect(path)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    queue.put(arms(db))


def test_another_process_has_the_same_arms(shop):
    db = two_versions(shop, "shop.db")
    note(db, "canary", {"version": 2, "share": 0.4})
    queue = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=arms_of_a_process, args=(shop.path(), queue))
    process.start()
    equal(queue.get(timeout=60), arms(db))
    process.join()
    db.execute("VACUUM INTO ?", (shop.path("other.db"),))
    equal(arms(shop.connect("other.db")), arms(db), "and a copy of the file")


def test_an_integer_user_and_its_text_are_one_where_the_column_says_so(shop):
    db = two_versions(shop)
    note(db, "canary", {"version": 2, "share": 0.5})
    for user in range(1, 20):
        equal(one(db, "SELECT arm FROM m WHERE user = ? AND k = 1", str(user)), one(db, "SELECT arm FROM m WHERE user = ? AND k = 1", user))
        equal(one(db, "SELECT arm FROM m WHERE basket = '[1]' AND k = 1 AND options = ?", json.dumps({"unit": str(user)})),
              one(db, "SELECT arm FROM m WHERE user = ? AND k = 1", user), "a cart that says whose it is")
    equal(rows(db, "SELECT DISTINCT arm, version FROM m WHERE basket = '[1]' AND k = 5"), [(None, 1)], "a cart of nobody")
    equal(rows(db, "SELECT DISTINCT arm, version FROM m WHERE similar_to = 2 AND k = 5"), [(None, 1)])


def test_while_an_experiment_runs_nothing_else_is_made_active(shop):
    db = two_versions(shop)
    note(db, "canary", {"version": 2, "share": 0.5})
    blob = one(db, "SELECT rec_train('m')")
    before = shadow(db, "m")
    for sql in ("INSERT INTO m(m) VALUES('train')", "INSERT INTO m(m, arg) VALUES('activate', 2)",
                "INSERT INTO m(m, arg) VALUES('tune', '{\"trials\": 1}')",
                """INSERT INTO m(m, arg) VALUES('experiment', '{"name": "y", "arms": {"a": 1, "b": 2}}')"""):
        refused(db, sql, says="the experiment 'canary' runs")
    refused(db, "INSERT INTO m(m, arg) VALUES('load', ?)", blob, says="the experiment 'canary' runs")
    refused(db, "INSERT INTO m(m, arg) VALUES('stop', '{\"name\": \"other\"}')", says="the experiment that runs is 'canary'")
    refused(db, "INSERT INTO m(m, arg) VALUES('stop', '{\"promote\": \"nobody\"}')", says="there is no arm 'nobody'")
    equal(shadow(db, "m"), before)
    note(db, "train", {"activate": "never"})
    note(db, "rollback")
    equal(set(arms(db).values()), {None}, "rollback takes the experiment back")
    equal(one(db, "SELECT version FROM m WHERE user = 1 AND k = 1"), 1)
    refused(db, "INSERT INTO m(m) VALUES('stop')", says="no experiment runs")
    refused(db, "INSERT INTO m(m) VALUES('rollback')", says="no earlier version to go back to")


def test_the_arm_that_won_is_promoted(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"control": 1, "plain": 2}})
    note(db, "stop", {"name": "x", "promote": "plain"}, author="ben")
    equal(rows(db, "SELECT version, action, author FROM rec_deployments"), [(1, "train", None), (2, "promote", "ben")])
    note(db, "rollback")
    equal(one(db, "SELECT version FROM m WHERE user = 1 AND k = 1"), 1)


def test_a_version_tells_when_it_was_made_and_by_whom(shop):
    db = two_versions(shop)
    made = rows(db, "SELECT at, author FROM rec_versions")
    deployed = rows(db, "SELECT at FROM rec_audit('m') WHERE command = 'train'")
    equal([at for at, _ in made], [at for at, in deployed])
    equal([author for _, author in made], [None, None])
    later = made[1][0] + 100
    note(db, "train", {"activate": "never"}, at=later, author="anna")
    note(db, "activate", 3, at=later + 50, author="ben")
    equal(rows(db, "SELECT at, author FROM rec_versions WHERE version = 3"), [(later, "anna")], "not when it was deployed")
    gauge = r'^recommend_trained_timestamp_seconds\{.*table="m".*\} (\S+)$'
    equal([float(found) for found in re.findall(gauge, one(db, "SELECT rec_prometheus()"), re.MULTILINE)], [later])
    note(db, "drop-version", 2, at=later + 60)
    equal(one(db, "SELECT count(*) FROM m_facts WHERE version = 2"), 0)


def test_an_experiment_begins_and_ends_by_the_clock(shop):
    db = two_versions(shop)
    now = one(db, "SELECT unixepoch()")
    for start, end, runs in ((now - DAY, now + DAY, True), (now + DAY, None, False), (None, now - 1, False)):
        terms = {key: value for key, value in (("start", start), ("end", end)) if value is not None}
        note(db, "experiment", {"name": "x", "arms": {"control": 1, "plain": 2}, **terms})
        equal(set(arms(db).values()) == {"control", "plain"}, runs, str(terms))
        note(db, "stop")
    refused(db, """INSERT INTO m(m, arg) VALUES('experiment', '{"name": "x", "arms": {"a": 1, "b": 2}, "start": "2030-01-02", "end": "2030-01-01"}')""",
            says="end is not after start")


def test_refusals_of_an_experiment_change_nothing(shop):
    db = two_versions(shop)
    before = shadow(db, "m")
    for arg, says in (('{"arms": {"a": 1, "b": 2}}', "needs a name"), ('{"name": "x", "arms": {"a": 1}}', "2 to 16 arms"),
                      ('{"name": "x", "arms": {"a": 1, "b": 7}}', "there is no version 7"), ('{"name": "x", "arms": {"a": 1, "b": 2}, "shares": [0.6, 0.6]}', "more than 1"),
                      ('{"name": "x", "arms": {"a": 1, "b": 2}, "shares": [1]}', "a number for each of 2 arms"),
                      ('{"name": "x", "arms": {"a": 1, "b": 2}, "control": "c"}', "there is no arm 'c'"),
                      ('{"name": "x", "arms": {"a": 1, "b": 2}, "guards": [1]}', "an array of names"),
                      ('{"name": "x", "arms": {"a": 1, "b": 2}, "arm": 1}', "unknown 'arm'"), ("junk", "must be a JSON object"), (None, "must be a JSON object"),
                      (json.dumps({"name": "x", "arms": {f"a{i}": 1 for i in range(17)}}), "2 to 16 arms")):
        refused(db, "INSERT INTO m(m, arg) VALUES('experiment', ?)", arg, says=says)
    equal(shadow(db, "m"), before)
    note(db, "experiment", {"name": "x", "arms": {f"a{i}": 1 + i % 2 for i in range(16)}, "shares": [0.7, 0.2, 0.1] + [0] * 13})
    equal(collections.Counter(arms(db).values()).keys(), {"a0", "a1", "a2"})


def test_every_command_rolls_back_without_a_trace(shop):
    db = two_versions(shop, "shop.db")
    note(db, "alias", {"champion": 1})
    blob = one(db, "SELECT rec_train('m')")

    def dump():
        return shadow(db, "m")
    commands = (("alias", {"b": 2}), ("annotate", {"version": 1, "note": "x"}), ("canary", {"version": 2, "share": 0.2}),
                ("experiment", {"name": "x", "arms": {"a": 1, "b": 2}}), ("train", None), ("activate", 2), ("load", blob), ("drop-version", 2))
    for running in (False, True):
        if running:
            note(db, "canary", {"version": 2, "share": 0.2})
            commands = (("shares", {"shares": [0.5, 0.5]}), ("stop", {"promote": "canary"}), ("stop", None), ("rollback", None))
        before = dump()
        answers = rows(db, "SELECT user, item, version, arm FROM m WHERE k = 2")
        for command, arg in commands:
            db.execute("BEGIN")
            db.execute("INSERT INTO m(m, arg) VALUES(?, ?)", (command, json.dumps(arg) if isinstance(arg, dict) else arg))
            assert dump() != before, command
            db.execute("ROLLBACK")
            equal(dump(), before, command)
            equal(rows(db, "SELECT user, item, version, arm FROM m WHERE k = 2"), answers, command)


def test_a_model_from_before_has_all_of_it_after_its_first_command(shop):
    db = shop.connect("shop.db")
    make_events(db)
    make_model(db)
    for table in ("audit", "facts", "lists", "shown", "outcomes"):
        db.execute(f"DROP TABLE IF EXISTS m_{table}")
    equal(one(db, "SELECT version FROM m WHERE user = 1 AND k = 1"), 1)
    equal(rows(db, "SELECT * FROM rec_audit('m')"), [])
    equal(rows(db, "SELECT * FROM rec_live_at('m', 1, 1)"), [])
    equal(one(db, "SELECT json_extract(rec_audit_verify('m'), '$.ok')"), 1)
    equal(rows(db, "SELECT version, at FROM rec_deployments"), [(1, None)])
    note(db, "train")
    equal(len(rows(db, "SELECT * FROM rec_audit('m')")), 1)


def test_somebody_elses_table_of_that_name_is_left_alone(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, train=False)
    db.execute("CREATE TABLE m_audit(mine)")
    refused(db, "INSERT INTO m(m) VALUES('train')", says="m_audit is not this model's table")
    db.execute("DROP TABLE m")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name GLOB 'm_*'"), [("m_audit",)])
    db.execute("DROP TABLE m_audit")
    make_model(db)
    db.execute("CREATE TRIGGER spy AFTER INSERT ON m_audit BEGIN DELETE FROM events; END")
    refused(db, "INSERT INTO m(m) VALUES('train')", says="has a trigger")
    assert one(db, "SELECT count(*) FROM events") > 0


def test_a_renamed_and_a_vacuumed_model_keeps_its_log(shop):
    db = two_versions(shop, "shop.db")
    note(db, "canary", {"version": 2, "share": 0.5})
    before = arms(db)
    db.execute("ALTER TABLE m RENAME TO n")
    db.execute("VACUUM")
    equal({user: one(db, "SELECT arm FROM n WHERE user = ? AND k = 1", user) for user in before}, before)
    equal(one(db, "SELECT json_extract(rec_audit_verify('n'), '$.ok')"), 1)
    note(db, "stop", name="n")
    db.execute("DROP TABLE n")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name GLOB 'n_*' OR name GLOB 'm_*'"), [])


# ---- interleaving and swaps ----


def test_team_draft_is_the_papers(shop):
    """Each round both teams add their best item that is not yet listed, in the order of a coin."""
    db = two_versions(shop)
    note(db, "alias", {"other": 2})
    first = collections.Counter()
    for user in range(1, 41):
        a, b = ([row[0] for row in rows(db, "SELECT item FROM m WHERE user = ? AND options = ?", user, json.dumps({"version": v}))] for v in (1, 2))
        drawn = rows(db, """SELECT item, team, version, rank FROM m WHERE user = ? AND k = 9 AND options = '{"interleave": "other"}'""", user)
        equal([row[3] for row in drawn], list(range(1, 10)))
        listed = set()
        for place, (item, team, version, _) in enumerate(drawn):
            if place % 2:
                assert team != drawn[place - 1][1], "both teams pick in each round"
            equal(item, next(i for i in (a if team == "a" else b) if i not in listed), f"user {user}, place {place}")
            equal(version, 1 if team == "a" else 2)
            listed.add(item)
        first[drawn[0][1]] += 1
    assert min(first.values()) > 8, f"the coin is fair: {first}"


def test_the_propensity_of_a_draw_is_how_often_it_comes(shop):
    db = two_versions(shop)
    n, count = 4000, collections.Counter()
    said = {}
    for draw in range(n):
        for item, rank, propensity in rows(db, "SELECT item, rank, propensity FROM m WHERE user = 7 AND k = 4 AND options = ?",
                                           json.dumps({"interleave": "2", "draw": str(draw)})):
            count[item, rank] += 1
            said[item, rank] = propensity
    equal(sum(said[key] for key in said if key[1] == 1), 1, "something stands at the first place")
    for key, propensity in said.items():
        assert abs(count[key] / n - propensity) < 4.5 * math.sqrt(propensity * (1 - propensity) / n) + 1e-9, f"{key}: {count[key] / n} {propensity}"


def test_a_swap_changes_the_first_place_with_a_drawn_one(shop):
    db = two_versions(shop)
    plain = [row[0] for row in rows(db, "SELECT item FROM m WHERE user = 7 AND k = 6")]
    count, n = collections.Counter(), 3000
    for draw in range(n):
        drawn = rows(db, "SELECT item, propensity FROM m WHERE user = 7 AND k = 6 AND options = ?", json.dumps({"swap": 4, "draw": str(draw)}))
        items = [row[0] for row in drawn]
        place = items.index(plain[0])
        expected = list(plain)
        expected[0], expected[place] = expected[place], expected[0]
        equal(items, expected)
        equal([round(row[1], 6) for row in drawn], [0.25] + [0.25 if p == place else 0.75 for p in (1, 2, 3)] + [1, 1])
        count[place] += 1
    for place in range(4):
        assert abs(count[place] / n - 0.25) < 0.035, count


def test_the_propensity_of_an_experiment_is_over_all_arms(shop):
    db = two_versions(shop)
    note(db, "experiment", {"name": "x", "arms": {"control": 1, "plain": 2}, "shares": [0.5, 0.2]})
    for user in range(1, 30):
        lists = {version: [row[0] for row in rows(db, "SELECT item FROM m WHERE user = ? AND k = 5 AND options = ?", user, json.dumps({"version": version}))] for version in (1, 2)}
        for item, rank, propensity in rows(db, "SELECT item, rank, propensity FROM m WHERE user = ? AND k = 5", user):
            expected = 0.8 * (lists[1][rank - 1] == item) + 0.2 * (lists[2][rank - 1] == item)  # whom no arm has gets version 1
            assert abs(propensity - expected) < 1e-9, (user, item, propensity, expected)
    equal(rows(db, "SELECT DISTINCT propensity FROM m WHERE user = 3 AND k = 5 AND options = '{\"version\": 2}'"), [(1.0,)])


def test_a_draw_does_not_depend_on_how_it_is_asked(shop):
    db = two_versions(shop)
    db.execute("CREATE TABLE p(item INTEGER PRIMARY KEY, name)")
    db.execute("INSERT INTO p SELECT DISTINCT item, 'n' || item FROM events")
    for options in ('{"interleave": "2"}', '{"swap": 5}'):
        whole = rows(db, "SELECT item, rank, team FROM m WHERE user = 9 AND options = ?", options)
        equal(rows(db, "SELECT item, rank, team FROM m WHERE user = 9 AND options = ? LIMIT 3 OFFSET 2", options), whole[2:5])
        equal(rows(db, "SELECT item, rank, team FROM m WHERE user = 9 AND item = ? AND options = ?", whole[3][0], options), [whole[3]])
        same_rows(rows(db, "SELECT m.item, rank, team FROM p JOIN m ON m.item = p.item WHERE user = 9 AND options = ?", options), whole)
        same_rows(rows(db, "SELECT m.item, rank, team FROM m CROSS JOIN p ON m.item = p.item WHERE user = 9 AND options = ?", options), whole)
        explained = rows(db, "SELECT item, json_valid(because) FROM m WHERE user = 9 AND k = 4 AND options = ?", options)
        equal([row[1] for row in explained], [1] * 4)
    refused(db, """SELECT * FROM m WHERE user = 9 AND k = 3 AND options = '{"interleave": "2", "swap": 3}'""", says="give one of interleave and swap")
    refused(db, """SELECT * FROM m WHERE k = 3 AND options = '{"interleave": "2"}'""", says="for the list of one user or cart")
    refused(db, """SELECT * FROM m WHERE user = 9 AND k = 3 AND options = '{"interleave": "nobody"}'""", says="there is no alias 'nobody'")


# ---- damage ----


def untouched(db, shop, name):
    """A copy of which this process has loaded nothing: not even of a file that had its place on the disk before."""
    db.execute("VACUUM INTO ?", (shop.path(name),))
    db.close()
    db = shop.connect(name)
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS unloaded USING rec_index(e float[1])")
    db.execute("INSERT INTO unloaded(unloaded) VALUES('drop-cache')")
    return db


def test_where_a_version_does_not_load_the_last_good_one_answers(shop):
    db = two_versions(shop, "shop.db")
    note(db, "activate", 2)
    note(db, "train", {"algorithm": "ease"})
    db = untouched(db, shop, "copy.db")
    good = rows(db, "SELECT item FROM m WHERE user = 4 AND k = 5 AND options = '{\"version\": 2}'")
    db.execute("UPDATE m_chunks SET data = zeroblob(100) WHERE version = 3")
    equal(rows(db, "SELECT item, version, arm FROM m WHERE user = 4 AND k = 5"), [row + (2, None) for row in good])
    equal(rows(db, "SELECT DISTINCT version FROM m WHERE k = 2"), [(2,)])
    refused(db, "SELECT * FROM m WHERE user = 4 AND k = 5 AND options = '{\"version\": 3}'", says="version 3")
    note(db, "alias", {"good": 2})
    equal([row[:2] for row in rows(db, "SELECT command, detail FROM rec_audit('m') ORDER BY id DESC LIMIT 2")][1], ("fall-back", '{"wanted":3,"answered":2}'))
    db = untouched(db, shop, "another.db")
    db.execute("UPDATE m_chunks SET data = zeroblob(100)")
    refused(db, "SELECT * FROM m WHERE user = 4 AND k = 5", says="version 3")
    refused(db, "SELECT * FROM m WHERE user = 4 AND k = 5", says="version 3")


def test_an_arm_that_does_not_load_is_answered_by_the_active_version(shop):
    db = two_versions(shop, "shop.db")
    note(db, "canary", {"version": 2, "share": 0.5})
    before = arms(db)
    db = untouched(db, shop, "copy.db")
    db.execute("UPDATE m_chunks SET data = zeroblob(100) WHERE version = 2")
    canary = [user for user, arm in before.items() if arm == "canary"]
    for user in canary:
        equal(rows(db, "SELECT DISTINCT version, arm FROM m WHERE user = ? AND k = 3", user), [(1, None)])
    equal(len(set(row[0] for row in rows(db, "SELECT user FROM m WHERE k = 1"))), 60, "everybody has a list, once")
    equal(one(db, "SELECT count(*) FROM m WHERE k = 1"), 60)


def test_what_is_live_is_untrusted(shop):
    db = two_versions(shop)
    note(db, "alias", {"champion": 1})
    for value in ("junk", "[]", '{"aliases": {"a": "x"}}', '{"experiment": {}}', '{"experiment": {"name": "x"}}', b"\x00\xff",
                  json.dumps({"experiment": {"name": "x" * 100}}), json.dumps({"aliases": {str(i): 1 for i in range(99)}})):
        db.execute("UPDATE m_config SET value = ? WHERE key = 'live'", (value,))
        refused(db, "SELECT * FROM m WHERE user = 1 AND k = 1", says="live is malformed")
        refused(db, "INSERT INTO m(m, arg) VALUES('activate', 1)", says="live is malformed")
    db.execute("DELETE FROM m_config WHERE key = 'live'")
    equal(len(rows(db, "SELECT * FROM m WHERE user = 1 AND k = 1")), 1)
    equal(one(db, "SELECT json_extract(rec_audit_verify('m'), '$.what')"), "what is live is not what the last command left")


# ---- the log ----


def test_one_flipped_byte_anywhere_in_the_log_is_found(shop):
    db = two_versions(shop)
    note(db, "alias", {"champion": 1}, at=10, author="anna", note="first")
    note(db, "canary", {"version": 2, "share": 0.5}, at=20)
    note(db, "stop", at=30)
    good = json.loads(one(db, "SELECT rec_audit_verify('m')"))
    equal((good["ok"], good["rows"], good["head"]), (True, 5, one(db, "SELECT hash FROM m_audit ORDER BY id DESC LIMIT 1")))
    for column in ("at", "command", "detail", "author", "note", "live", "hash"):
        for row in range(1, 6):
            db.execute("SAVEPOINT s")
            db.execute(f'UPDATE m_audit SET "{column}" = coalesce("{column}" || \'x\', \'y\') WHERE id = ?' if column != "at" else "UPDATE m_audit SET at = at + 0.001 WHERE id = ?", (row,))
            found = json.loads(one(db, "SELECT rec_audit_verify('m')"))
            equal((found["ok"], found["row"]), (False, row), column)
            db.execute("ROLLBACK TO s")
    for sql, row in (("DELETE FROM m_audit WHERE id = 3", 4), ("UPDATE m_audit SET id = 9 WHERE id = 5", 9), ("INSERT INTO m_audit SELECT 6, at, command, detail, author, note, live, hash FROM m_audit WHERE id = 5", 6)):
        db.execute("SAVEPOINT s")
        db.execute(sql)
        equal(json.loads(one(db, "SELECT rec_audit_verify('m')"))["row"], row, sql)
        db.execute("ROLLBACK TO s")
    equal(json.loads(one(db, "SELECT rec_audit_verify('m', ?)", one(db, "SELECT hash FROM m_audit WHERE id = 2")))["ok"], True)
    db.execute("DELETE FROM m_audit WHERE id >= 3")
    equal(json.loads(one(db, "SELECT rec_audit_verify('m', ?)", good["head"]))["what"], "the noted head is not in the chain")
    db.execute("UPDATE m_deployments SET version = 2")
    equal(json.loads(one(db, "SELECT rec_audit_verify('m')"))["what"], "what is live is not what the last command left")


def test_the_chain_is_what_the_page_says(shop):
    """An independent reading of it: SHA-256 over the hash before and the row."""
    import hashlib, struct
    db = two_versions(shop)
    note(db, "alias", {"champion": 1}, at=12.5, author="änne", note="first")
    before = ""
    for row_id, at, *texts, stored in rows(db, "SELECT id, at, command, detail, author, note, live, hash FROM m_audit ORDER BY id"):
        def with_length(text):
            data = text.encode()
            return struct.pack("<I", len(data)) + data
        data = with_length(before) + struct.pack("<Qd", row_id, at) + b"".join(b"n" if text is None else b"t" + with_length(text) for text in texts)
        before = hashlib.sha256(data).hexdigest()
        equal(stored, before)


def test_what_was_live_is_known_for_every_moment(shop):
    db = two_versions(shop)
    moments = []  # (time, what answers each user)

    def now():
        return {user: rows(db, "SELECT version, arm FROM m WHERE user = ? AND k = 1", user)[0] for user in range(1, 21)}
    for at, command, arg in ((100, "activate", 2), (200, "canary", {"version": 1, "share": 0.3}), (300, "canary", {"version": 1, "share": 0.6}), (400, "rollback", None),
                             (500, "experiment", {"name": "x", "arms": {"a": 2, "b": 1}, "shares": [0.4, 0.4]}), (600, "stop", {"promote": "b"})):
        note(db, command, arg, at=at)
        moments.append((at, command, now()))
    for (at, command, lives), until in zip(moments, [m[0] for m in moments[1:]] + [9e9]):
        for user, (version, arm) in lives.items():
            for moment in (at, (at + until) / 2, until - 0.001):
                equal(rows(db, "SELECT version, arm, since, why FROM rec_live_at('m', ?, ?)", moment, user), [(version, arm, at, command)])
    equal(rows(db, "SELECT version FROM rec_live_at('m', -1, 1)"), [], "before the first command")
    equal(rows(db, "SELECT version, arm, experiment FROM rec_live_at('m', 550)"), [(2, None, "x")])
    refused(db, "SELECT * FROM rec_live_at('nobody', 1)", says="no rec_model named 'nobody'")


def test_times_of_the_log_never_go_back(shop):
    db = two_versions(shop)
    note(db, "alias", {"a": 1}, at="2040-01-01")
    refused(db, """INSERT INTO m(m, arg, options) VALUES('alias', '{"b": 1}', '{"at": "2039-01-01"}')""", says="is before the last command")
    note(db, "alias", {"b": 1})
    equal(one(db, "SELECT count(DISTINCT at) FROM m_audit WHERE id > 2"), 1, "the clock is behind: the time stands still")
    refused(db, """INSERT INTO m(m, arg, options) VALUES('alias', '{"b": 1}', '{"at": "never"}')""", says="at=")
    refused(db, """INSERT INTO m(m, arg, options) VALUES('alias', '{"b": 1}', '{"who": "x"}')""", says="unknown option 'who'")


def test_reading_writes_nothing(shop):
    db = two_versions(shop, "shop.db")
    note(db, "canary", {"version": 2, "share": 0.5})
    db.close()
    reader = sqlite3.connect(f"file:{shop.path()}?mode=ro", uri=True)
    reader.enable_load_extension(True)
    reader.load_extension(EXTENSION)
    reader.execute("PRAGMA query_only=ON")
    equal(set(arms(reader).values()), {"control", "canary"})
    equal(one(reader, "SELECT json_extract(rec_audit_verify('m'), '$.ok')"), 1)
    equal(len(rows(reader, "SELECT * FROM rec_live_at('m', '2100-01-01', 1)")), 1)
    refused(reader, "INSERT INTO m(m) VALUES('stop')", says="readonly")


# ---- if-better ----


def test_a_version_that_is_no_better_is_stored_and_not_served(shop):
    db = shop.connect()
    draw = random.Random(9)
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    for user in range(400):  # two tastes: neighbours know them, the popular list does not
        for item in draw.sample(range(20), 6):
            db.execute("INSERT INTO events VALUES(?, ?, 1, ?)", (user, item + 20 * (user % 2), draw.randrange(1000)))
    make_model(db, train=False, algorithm="popular")
    note(db, "train", {"activate": "if-better"}, at=10)
    equal(one(db, "SELECT version FROM rec_versions WHERE active"), 1, "nothing served before")
    note(db, "train", {"algorithm": "item_knn", "activate": "if-better"}, at=11)
    equal(one(db, "SELECT version FROM rec_versions WHERE active"), 2)
    detail = json.loads(one(db, "SELECT detail FROM rec_audit('m') ORDER BY id DESC LIMIT 1"))
    assert detail["activated"] and detail["candidate"] > detail["active"] and detail["p"] < 0.05 and detail["users"] > 100, detail
    tags = json.loads(one(db, "SELECT tags FROM rec_versions WHERE version = 2"))
    assert abs(tags["validation.ndcg.10"] - detail["candidate"]) < 1e-6
    note(db, "train", {"algorithm": "popular", "activate": "if-better"}, at=12)
    equal(rows(db, "SELECT version, active FROM rec_versions"), [(1, 0), (2, 1), (3, 0)])
    equal(json.loads(one(db, "SELECT detail FROM rec_audit('m') ORDER BY id DESC LIMIT 1"))["activated"], False)
    note(db, "tune", {"algorithm": "item_knn", "trials": 1, "activate": "never"}, at=12)
    assert abs(one(db, "SELECT value FROM rec_trials WHERE options = '{\"algorithm\":\"item_knn\"}'") - detail["candidate"]) < 1e-8, "the same question as a tuning's"
    # the same setting again: newer events are better without a trial
    db.execute("INSERT INTO events VALUES(3, 3, 1, 1001)")
    note(db, "train", {"algorithm": "item_knn", "activate": "if-better"}, at=13)
    equal(one(db, "SELECT version FROM rec_versions WHERE active"), 4)
    note(db, "experiment", {"name": "x", "arms": {"a": 1, "b": 2}}, at=14)
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"activate\": \"if-better\"}')", says="the experiment 'x' runs")
