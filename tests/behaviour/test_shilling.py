"""rec_shilling: what a group of users shifts, as training without them shows."""
import collections, json, random

from support import equal, make_model, one, refused, rows


def planted_shop(shop, planted=150):
    db = shop.connect()
    draw = random.Random(12)
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    for user in range(300):
        for item in draw.sample(range(40), 6):
            db.execute("INSERT INTO events VALUES(?, ?, 1, 0)", (user, item))
    for fake in range(planted):  # accounts that pair what everybody has with what they push
        for item in [777] + draw.sample(range(40), 3):
            db.execute("INSERT INTO events VALUES(?, ?, 1, 0)", (10000 + fake, item))
    return db


def exposures(db, users):
    """Lists of the users with each item, from a model that is trained by the command."""
    counts = collections.Counter()
    for user in users:
        counts.update(item for item, in rows(db, "SELECT item FROM m WHERE user = ? AND k = 10", user))
    return counts


def test_the_shift_is_what_training_without_them_shows(shop):
    for algorithm in ("item_knn", "popular"):
        db = planted_shop(shop)
        make_model(db, algorithm=algorithm)
        group = [user for user, in rows(db, "SELECT DISTINCT user FROM events WHERE user >= 10000")]
        found = {row[0]: row[1:] for row in rows(db, "SELECT item, group_events, share_with, share_without, shift FROM rec_shilling('m', ?)", json.dumps(group))}
        others = range(300)
        with_them = exposures(db, others)
        db.execute("DELETE FROM events WHERE user >= 10000")
        db.execute("INSERT INTO m(m) VALUES('train')")
        without = exposures(db, others)
        for item in set(with_them) | set(without):
            equal(tuple(round(share * 300) for share in found[item][1:3]), (with_them[item], without[item]), f"{algorithm} {item}")
            assert abs(found[item][3] - (with_them[item] - without[item]) / 300) < 1e-12
        equal(found[777][0], 150)
        if algorithm == "item_knn":
            equal(max(found, key=lambda item: found[item][3]), 777, "what is pushed moves most")
            assert found[777][3] > 0.2 and found[777][2] == 0


def test_nobody_shifts_nothing(shop):
    db = planted_shop(shop, planted=0)
    make_model(db)
    for group in ("[]", "[99999]", '["nobody"]'):
        equal(rows(db, "SELECT DISTINCT shift FROM rec_shilling('m', ?)", group), [(0.0,)])
    refused(db, "SELECT * FROM rec_shilling('m', NULL)", says="users")
    refused(db, "SELECT * FROM rec_shilling('m', '3')", says="users")
    refused(db, "SELECT * FROM rec_shilling('m', '[1]', '{\"k\": 0}')", says="k=0")
    equal(one(db, "SELECT count(*) FROM rec_shilling('m', ?)", json.dumps(list(range(300)))) > 0, True, "all of them: nobody is left to be shown anything")
