"""Reports that correct for what the log chose to show: off-policy estimates, places, clicks by place."""
import collections, json, math, random

from support import equal, make_events, one, refused, rows
from test_rollout import note, two_versions
from test_shown_log import put

EXAMINED = (1, 0.6, 0.35, 0.2)


def liked(item):
    return 0.1 + 0.6 * (item * 7919 % 10) / 10


def log_swapped(db, swap, visits, seed, users=60, k=4):
    """Every user sees `visits` lists with swaps; what is clicked depends on the item and the place."""
    draw = random.Random(seed)
    db.execute("BEGIN")
    logged = []
    for user in range(1, users + 1):
        for visit in range(visits):
            name = f"{user}-{visit}"
            shown = rows(db, f"SELECT item, rank, version, propensity FROM m WHERE user = ? AND k = {k} AND options = ?", user, json.dumps({"swap": swap, "draw": name}))
            put(db, "shown", list=name, user=user, at=2000000000 + visit, items=[dict(zip(("item", "rank", "version", "propensity"), row)) for row in shown])
            clicked = [draw.random() < liked(item) * EXAMINED[rank - 1] for item, rank, *_ in shown]
            for (item, *_), click in zip(shown, clicked):
                if click:
                    put(db, "outcome", list=name, item=item, kind="click", value=2.5, at=2000000001 + visit)
            logged.append((user, [(item, rank, p, click) for (item, rank, _, p), click in zip(shown, clicked)]))
    db.execute("COMMIT")
    return logged


def ratio(pairs):
    """sum y / sum x over users, and its variance by the delta method, in plain sums."""
    n, sy, sx = len(pairs), sum(y for y, _ in pairs), sum(x for _, x in pairs)
    r, mean = sy / sx, sx / n
    spread = sum((y - r * x - (sy - r * sx) / n) ** 2 for y, x in pairs) / (n - 1)
    return r, spread / n / mean ** 2


def twin(logged, target, tau=20):
    """The estimators of docs/reference/life.md, item by item."""
    by_user = collections.defaultdict(lambda: collections.defaultdict(float))
    order = list(dict.fromkeys(user for user, _ in logged))
    half = {user: i & 1 for i, user in enumerate(order)}
    place, item_sums = [collections.defaultdict(lambda: [0, 0]) for _ in range(2)], [collections.defaultdict(lambda: [0, 0]) for _ in range(2)]
    for user, shown in logged:
        for item, rank, p, click in shown:
            place[half[user]][rank][0] += click
            place[half[user]][rank][1] += 1
    mean = lambda h, rank: place[h][rank][0] / place[h][rank][1] if place[h][rank][1] else 0
    for user, shown in logged:
        for item, rank, p, click in shown:
            item_sums[half[user]][item][0] += click
            item_sums[half[user]][item][1] += mean(half[user], rank)
    def q(user, item, rank):
        h = 1 - half[user]
        got, expected = item_sums[h].get(item, (0, 0))
        return mean(h, rank) * (got + 5) / (expected + 5)
    places = 0
    for user, shown in logged:
        sums = by_user[user]
        sums["lists"] += 1
        for item, rank, p, click in shown:
            places += 1
            other = target[user][rank - 1]
            w = 1 / p if other == item else 0
            sums["w"] += w
            sums["ww"] += w * w
            sums["ips"] += w * click
            sums["logged"] += click
            rest = w * (click - q(user, item, rank))
            sums["dr"] += q(user, other, rank) + rest
            sums["switch_dr"] += q(user, other, rank) + (rest if w <= tau else 0)
    users = list(by_user.values())
    lists = sum(u["lists"] for u in users)
    out = {name: ratio([(u[name], u["lists"]) for u in users]) for name in ("logged", "ips", "dr", "switch_dr")}
    snips = ratio([(u["ips"], u["w"]) for u in users])
    out["snips"] = snips[0] * places / lists, snips[1] * (places / lists) ** 2
    effective = sum(u["w"] for u in users) ** 2 / sum(u["ww"] for u in users)
    return out, effective


def test_off_policy_estimates_are_those_of_a_plain_twin(shop):
    db = two_versions(shop, users=60)
    logged = log_swapped(db, 4, 6, 1)
    for version in (1, 2):
        target = {user: [item for item, in rows(db, "SELECT item FROM m WHERE user = ? AND k = 4 AND options = ? ORDER BY rank", user, json.dumps({"version": version}))] for user in range(1, 61)}
        expected, effective = twin(logged, target)
        for name, value, low, high, users, lists, places, matched, ess, verdict in rows(db, "SELECT estimator, value, low, high, users, lists, places, matched, effective, verdict FROM rec_off_policy('m', ?, '{\"least\": 2}')", version):
            assert abs(value - expected[name][0]) < 1e-9, (version, name, value, expected[name])
            assert abs((high - low) / 2 - 1.959963984540054 * math.sqrt(expected[name][1])) < 1e-9, (version, name)
            equal((users, lists, places), (60, 360, 1440))
            assert abs(ess - effective) < 1e-6
    # the version that was shown, without its swaps: the truth is known
    truth = sum(liked(item) * EXAMINED[i] for user in range(1, 61) for i, item in enumerate(row[0] for row in rows(db, "SELECT item FROM m WHERE user = ? AND k = 4 ORDER BY rank", user))) / 60
    for name, low, high in rows(db, "SELECT estimator, low, high FROM rec_off_policy('m', 1) WHERE estimator <> 'logged'"):
        assert low - (high - low) / 2 < truth < high + (high - low) / 2, (name, low, truth, high)


def test_off_policy_refuses_what_it_cannot_say(shop):
    db = two_versions(shop, users=60)
    log_swapped(db, 3, 2, 2)
    little = rows(db, "SELECT estimator, value, verdict FROM rec_off_policy('m', 1, '{\"least\": 1000}')")
    equal({(value, verdict) for name, value, verdict in little if name != "logged"}, {(None, "too few matches")})
    assert little[0][1] is not None
    # what is never shown at a place cannot be judged there: lists as they are, without chance
    for user in range(1, 61):
        put(db, "shown", list=f"plain{user}", user=user, scenario="plain", items=[{"item": item, "rank": rank, "propensity": 1} for item, rank in rows(db, "SELECT item, rank FROM m WHERE user = ? AND k = 4", user)])
    verdicts = {version: rows(db, "SELECT DISTINCT verdict, support < 1 FROM rec_off_policy('m', ?, '{\"scenario\": \"plain\", \"least\": 2}') WHERE estimator <> 'logged'", version) for version in (1, 2)}
    equal(verdicts[1], [("ok", 0)])
    equal(verdicts[2], [("no support", 1)])
    put(db, "shown", list="unknown", user=3, scenario="plain", items=[1, 2])
    equal(one(db, "SELECT DISTINCT left_out FROM rec_off_policy('m', 1, '{\"scenario\": \"plain\"}')"), 1)
    refused(db, "SELECT * FROM rec_off_policy('m', 'nobody')", says="there is no alias 'nobody'")
    refused(db, "SELECT * FROM rec_off_policy('m', 9)", says="there is no version 9")
    refused(db, "SELECT * FROM rec_off_policy('m', NULL)", says="version is a number or an alias")
    refused(db, "SELECT * FROM rec_off_policy('m', 1, '{\"options\": [1]}')", says="JSON object")
    equal(rows(db, "SELECT value FROM rec_off_policy('m', 1, '{\"scenario\": \"none\"}')"), [(None,)] * 5)
    db.execute("CREATE VIRTUAL TABLE fresh USING rec_model(events=events, user=user, item=item)")
    equal(rows(db, "SELECT DISTINCT lists, verdict FROM rec_off_policy('fresh', 1) WHERE estimator = 'ips'"), [(0, "too few matches")])


def test_money_is_summed(shop):
    db = two_versions(shop, users=60)
    log_swapped(db, 4, 3, 4)
    plain, money = (dict(rows(db, "SELECT estimator, value FROM rec_off_policy('m', 2, ?)", json.dumps({"sum": flag, "least": 2}))) for flag in (False, True))
    for name in ("logged", "ips", "snips"):
        assert abs(money[name] - 2.5 * plain[name]) < 1e-9


def test_swaps_show_what_a_place_does(shop):
    for swap in (2, 4):
        db = two_versions(shop, f"{swap}.db", users=60)
        logged = log_swapped(db, swap, 60, 3)
        found = rows(db, "SELECT rank, lists, clicks, ctr, examination, low, high FROM rec_position_bias('m')")
        equal([row[0] for row in found], list(range(1, swap + 1)))
        for rank, lists, clicks, ctr, examined, low, high in found:
            equal((lists, clicks), (3600, sum(click for _, shown in logged for _, r, _, click in shown if r == rank)))
            wide = (high - low) / 2  # twice as wide: four looks, and 1 in 15,000 at 3.9 standard errors
            assert low - wide <= EXAMINED[rank - 1] <= high + wide, (swap, rank, examined, low, high)
            assert rank == 1 or 0 < high - low < 0.3
        # places beyond what swaps reach are not corrected, and clicks at the first place are what an item is liked
        for item, shown, corrected, low, high in rows(db, "SELECT key, shown, corrected, low, high FROM rec_ctr('m') WHERE shown > 1500 AND corrected IS NOT NULL"):
            assert abs(corrected - liked(item)) < 4 * (high - low) / 3.92 + 0.02, (item, corrected, liked(item), low, high)
        equal(rows(db, "SELECT key, shown FROM rec_ctr('m', '{\"by\": \"rank\"}') ORDER BY key"), [(rank, 3600) for rank in (1, 2, 3, 4)])
        equal(rows(db, "SELECT key, shown, clicks FROM rec_ctr('m', '{\"by\": \"version\"}')"), [(1, 14400, sum(click for _, shown in logged for *_, click in shown))])


def test_lists_without_swaps_have_no_places(shop):
    db = two_versions(shop)
    put(db, "shown", list=1, user=1, items=[1, 2, 3])
    put(db, "outcome", list=1, item=2, kind="click")
    equal(rows(db, "SELECT * FROM rec_position_bias('m')"), [])
    equal(rows(db, "SELECT key, shown, clicks, ctr, corrected FROM rec_ctr('m')"), [(1, 1, 0, 0.0, None), (2, 1, 1, 1.0, None), (3, 1, 0, 0.0, None)])
    equal(rows(db, "SELECT key, clicks FROM rec_ctr('m', '{\"kind\": \"cart\"}')"), [(1, 0), (2, 0), (3, 0)])
    refused(db, "SELECT * FROM rec_ctr('m', '{\"by\": \"user\"}')", says="by=user (item|version|arm|scenario|team|rank)")
