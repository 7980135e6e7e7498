"""Pseudonyms, and numbers with differential privacy whose budget cannot be overspent."""
import collections, hashlib, json, math, threading

from support import equal, one, refused, rows, shadow
from test_rollout import note, two_versions
from test_shown_log import put


def blake2b(key, secret):
    message = b"i%d" % key if isinstance(key, int) else b"t" + key.encode()
    if len(secret) > 64:
        secret = hashlib.blake2b(secret, digest_size=64).digest()
    return hashlib.blake2b(message, key=secret, digest_size=16).hexdigest()


def test_pseudonyms_are_keyed_blake2b(shop):
    db = shop.connect()
    for secret in (b"sixteen bytes ..", b"\0" * 64, bytes(range(200))):
        for key in (17, "17", -1, 2 ** 62, "anna", "änne", ""):
            equal(one(db, "SELECT rec_pseudonym(?, ?)", key, secret), blake2b(key, secret))
    equal(one(db, "SELECT rec_pseudonym(1, 'a text of 16 bytes and more')"), blake2b(1, b"a text of 16 bytes and more"))
    equal(one(db, "SELECT rec_pseudonym(NULL, zeroblob(16))"), None)
    for key, secret, says in ((1, b"short", "16 bytes or more"), (1, None, "secret must be"), (1.5, b"0" * 16, "key"), (b"blob", b"0" * 16, "key")):
        refused(db, "SELECT rec_pseudonym(?, ?)", key, secret, says=says)


def logged(shop, name=None):
    db = two_versions(shop, name)
    db.execute("BEGIN")
    for user in range(300):
        put(db, "shown", list=user, user=user, items=[1], at=100)
        for item in (1, 2) if user % 3 else (2,):
            put(db, "outcome", user=user, item=item, kind="click", at=101)
        if user == 7:
            for _ in range(500):
                put(db, "outcome", user=user, item=2, kind="click", at=101)
        put(db, "outcome", user=user, item=3, kind="purchase", value=user, at=200)
    db.execute("COMMIT")
    return db


def released(db):
    return {(name, key): value for name, key, value in rows(db, "SELECT name, key, value FROM rec_released('m')")}


def test_a_release_is_near_the_bounded_truth_and_costs_what_it_says(shop):
    db = logged(shop)
    note(db, "privacy-budget", {"rho": 60})
    note(db, "release", {"name": "clicks", "kind": "click", "keys": [1, 2, 99], "rho": 20})
    # item 1 comes first for who clicked both, and one click a user counts
    truth = {1: 200, 2: 100, 99: 0}
    for (name, key), value in released(db).items():
        assert value == int(value) and abs(value - truth[key]) <= 2, (key, value)
    note(db, "release", {"name": "both", "kind": "click", "keys": [1, 2], "per_user": 2, "rho": 20})
    for key, value in ((1, 200), (2, 300)):
        assert abs(released(db)["both", key] - value) <= 3
    note(db, "release", {"name": "money", "kind": "purchase", "sum": True, "cap": 100, "unit": 10, "rho": 10})
    expected = sum(min(user, 100) // 10 * 10 for user in range(300))
    assert abs(released(db)["money", None] - expected) <= 10 * 6 * 10 / math.sqrt(20)
    note(db, "release", {"name": "lists", "of": "lists", "until": 150, "rho": 5})
    assert abs(released(db)["lists", None] - 300) <= 3
    ledger = rows(db, "SELECT id, name, rho, deviation, remaining FROM rec_ledger('m')")
    equal([row[1] for row in ledger], ["budget", "clicks", "both", "money", "lists"])
    for row, rho, norm, unit in zip(ledger[1:], (20, 20, 10, 5), (1, math.sqrt(2), 10, 1), (1, 1, 10, 1)):
        assert 0.9 * rho < row[2] <= rho * (1 + 1e-12), row
        assert abs(row[3] - unit * norm / math.sqrt(2 * row[2])) < 1e-9, row
    assert abs(ledger[-1][4] - (60 - sum(row[2] for row in ledger[1:]))) < 1e-9


def test_the_noise_has_its_deviation(shop):
    db = logged(shop)
    note(db, "privacy-budget", {"rho": 100})
    db.execute("BEGIN")
    note(db, "release", {"name": "wide", "kind": "none", "keys": list(range(4000)), "rho": 0.0008})
    db.execute("COMMIT")
    values = [value for (name, key), value in released(db).items()]
    deviation = one(db, "SELECT deviation FROM rec_ledger('m') WHERE id = 1")
    assert abs(deviation - 25) < 0.01
    assert abs(sum(values) / 4000) < 4 * deviation / math.sqrt(4000)
    assert abs(sum(value * value for value in values) / 4000 / deviation ** 2 - 1) < 4 * math.sqrt(2 / 4000)


def test_the_budget_cannot_be_overspent(shop):
    db = logged(shop, "budget.db")
    before = shadow(db, "m")
    refused(db, "INSERT INTO m(m, arg) VALUES('release', '{\"name\": \"x\", \"rho\": 0.1}')", says="of the budget of 0 0 is left")
    equal(shadow(db, "m"), before)
    note(db, "privacy-budget", {"rho": 1})
    refused(db, "INSERT INTO m(m, arg) VALUES('privacy-budget', '{\"rho\": 2}')", says="is never raised")
    note(db, "release", {"name": "a", "rho": 0.7})
    refused(db, "INSERT INTO m(m, arg) VALUES('release', '{\"name\": \"b\", \"rho\": 0.4}')", says="is left")
    refused(db, "INSERT INTO m(m, arg) VALUES('privacy-budget', '{\"rho\": 0.5}')", says="is spent already")
    db.execute("BEGIN")
    note(db, "release", {"name": "c", "rho": 0.2})
    refused(db, "SELECT * FROM rec_released('m')", says="can be read after COMMIT")
    db.execute("ROLLBACK")
    equal([row[0] for row in rows(db, "SELECT name FROM rec_ledger('m')")], ["budget", "a"])
    # eight connections that would like to spend .2 each of what is left
    said = []
    def spend():
        own = shop.connect("budget.db")
        try:
            note(own, "release", {"name": "t", "rho": 0.2})
            said.append("yes")
        except Exception as error:
            said.append("left" if "is left" in str(error) else str(error))
    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(collections.Counter(said), {"yes": 1, "left": 7})
    assert one(db, "SELECT total(rho) FROM rec_ledger('m') WHERE id > 0") <= 1


def test_arguments_of_a_release(shop):
    db = logged(shop)
    note(db, "privacy-budget", {"rho": 1})
    before = shadow(db, "m")
    for arg, says in ((None, "JSON object"), ({}, "release: name"), ({"name": "x", "keys": []}, "keys is empty"), ({"name": "x", "keys": 3}, "keys"), ({"name": "x", "of": "lists", "keys": [1]}, "lists have no keys"),
                      ({"name": "x", "cap": 1, "unit": 2}, "cap is below unit"), ({"name": "x", "rho": 0}, "rho=0"), ({"name": "x", "cap": 1e9, "rho": 0.001}, "too many units"), ({"name": "x", "wild": 1}, "unknown option 'wild'")):
        refused(db, "INSERT INTO m(m, arg) VALUES('release', ?)", arg if arg is None else json.dumps(arg), says=says)
        equal(shadow(db, "m"), before)
    for sql in ("SELECT * FROM rec_released('m')",):
        equal(rows(db, sql), [])
