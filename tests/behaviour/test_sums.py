"""Models of several shops whose rows stay where they are: rec_sums, rec_join_sums, and rec_train on the sum. The oracle is a shop that has
everybody's rows; for noise, statistics over many drawings."""
import json
import math
import random
import sqlite3
import struct

from support import equal, one, refused, rows

OPTIONS = {"algorithm": "ease", "reg": 20}


def people(seed, users, first, products, visits=9):
    """Users first, first + 1, ...: some products are had by many. A few take things back."""
    draw = random.Random(seed)
    for user in range(first, first + users):
        for visit in range(draw.randrange(1, visits)):
            product = f"p{int(products * draw.random() ** 2):03}"
            yield user, product, 86400 * visit + user, draw.choice([1, 1, 1, 2, -1])


def shop_of(shop, events, more=""):
    db = shop.connect()
    db.execute("CREATE TABLE sales(customer INTEGER, product TEXT, at INTEGER, pieces INTEGER)")
    db.executemany("INSERT INTO sales VALUES(?, ?, ?, ?)", events)
    db.execute("CREATE TABLE catalogue(product TEXT PRIMARY KEY)")
    db.executemany("INSERT INTO catalogue VALUES(?)", [(f"p{i:03}",) for i in range(60)])
    db.execute(f"CREATE VIRTUAL TABLE recs USING rec_model(events=sales, user=customer, item=product, time=at, weight=pieces, items=catalogue, item_key=product{more})")
    return db


def parts():
    """Three shops of different people and partly different products."""
    return [list(people(1, 300, 1000, 40)), list(people(2, 200, 5000, 60)), [(u, "q" + p[1:], t, w) for u, p, t, w in people(3, 50, 9000, 20)] + list(people(4, 20, 9900, 60))]


def checksum(db, version):
    db.execute("INSERT INTO recs(recs, arg) VALUES('load', ?)", (version,))
    return rows(db, "SELECT sha256, events, users, items, until FROM rec_versions WHERE active")[0]


def joined(db, blobs):
    db.execute("CREATE TEMP TABLE parts(sums)")
    db.executemany("INSERT INTO parts VALUES(?)", [(blob,) for blob in blobs])
    blob = one(db, "SELECT rec_join_sums(sums) FROM parts")
    db.execute("DROP TABLE parts")
    return blob


def test_the_bits_of_everybody_together(shop):
    for options, more in ((OPTIONS, {}), ({**OPTIONS, "dropout": .3, "item_power": .4, "neighbours": 7}, {}), ({**OPTIONS, "max_items": 25, "threads": 1}, {}),
                          ({**OPTIONS, "max_history": 3}, {"max_history": 3}), ({**OPTIONS, "until": 400000}, {"until": 400000})):
        shops = [shop_of(shop, events) for events in parts()]
        pooled = shop_of(shop, [event for events in parts() for event in events])
        wanted = checksum(pooled, one(pooled, "SELECT rec_train('recs', ?)", json.dumps(options)))
        blobs = [one(db, "SELECT rec_sums('recs', ?)", json.dumps(more)) for db in shops]
        office = shop_of(shop, [])
        train = {name: value for name, value in options.items() if name != "until"}
        for order in (blobs, blobs[::-1], [joined(office, blobs[:2]), blobs[2]], [None, *blobs]):
            version = one(office, "SELECT rec_train('recs', ?, ?)", json.dumps(train), joined(office, order))
            equal(checksum(office, version), wanted, options)
        # and a shop serves its own customers by it
        first = shops[0]
        checksum(first, version)
        lists = "SELECT item, score FROM recs WHERE user = ? AND k = 8"
        for user in (1000, 1007, 1200):
            equal(rows(first, lists, user), rows(pooled, lists, user))


def content(blob):
    """The stored form by hand: (users, events, newest, until, max_history, rho, parts, {(i, j): users who have both})."""
    assert blob[:8] == b"RECSUMS1" and blob[8:12] == b"\1\0\0\0"
    users, events, newest, has_until, until, history, rho, combine, drawn, n_parts = struct.unpack_from("<QQdIdQdIQI", blob, 12)
    at = 12 + 68 + n_parts * 68
    n, at = struct.unpack_from("<I", blob, at)[0], at + 4
    keys = []
    for _ in range(n):
        tag, = struct.unpack_from("<B", blob, at)
        at += 1
        if tag:
            size, = struct.unpack_from("<I", blob, at)
            keys.append(blob[at + 4:at + 4 + size].decode())
            at += 4 + size
        else:
            keys.append(struct.unpack_from("<q", blob, at)[0])
            at += 8
    lengths = struct.unpack_from(f"<{n}I", blob, at)
    at += 4 * n
    total = sum(lengths)
    columns, counts = struct.unpack_from(f"<{total}i", blob, at), struct.unpack_from(f"<{total}i", blob, at + 4 * total)
    pairs, e = {}, 0
    for i, length in enumerate(lengths):
        for _ in range(length):
            pairs[keys[i], keys[columns[e]]] = counts[e]
            e += 1
    assert at + 8 * total + 32 == len(blob)
    return users, events, newest, until if has_until else None, history, rho, n_parts, pairs


def test_what_is_in_them(shop):
    """Counts of users, and nobody's row: a user's number is nowhere."""
    events = parts()[1]
    db = shop_of(shop, events)
    blob = one(db, "SELECT rec_sums('recs')")
    has = {}
    for user, product, _, pieces in events:
        has[user, product] = has.get((user, product), 0) + pieces
    rows_of = {}
    for (user, product), pieces in has.items():
        if pieces > 0:
            rows_of.setdefault(user, set()).add(product)
    wanted = {}
    for items in rows_of.values():
        for i in items:
            for j in items:
                if i <= j:
                    wanted[i, j] = wanted.get((i, j), 0) + 1
    users, n, newest, until, history, rho, n_parts, pairs = content(blob)
    equal((users, n, newest, until, history, rho, n_parts), (len(rows_of), len(events), max(at for _, _, at, _ in events), None, 0, 0, 0))
    equal(pairs, wanted)
    assert all(struct.pack("<q", user) not in blob for user in rows_of)


def test_noise_is_what_is_promised(shop):
    """Deviation, mean and independence of the noise over many drawings; nothing outside the catalogue is told; training still works."""
    events = [event for event in parts()[0] if event[0] < 1040] + [(1001, "secret", 5, 1)]
    db = shop_of(shop, events)
    exact = content(one(db, "SELECT rec_sums('recs', '{\"max_history\": 4, \"until\": 10000000}')"))[-1]
    noise, other, rho = [], [], 2.0
    for _ in range(6):
        users, n, newest, until, history, told, n_parts, pairs = content(one(db, "SELECT rec_sums('recs', ?)", json.dumps({"max_history": 4, "until": 10000000, "rho": rho})))
        equal((newest, until, history, n_parts, len(pairs)), (1e7, 1e7, 4, 0, 60 * 61 // 2))
        assert rho * .99 < told <= rho and "secret" not in {key for pair in pairs for key in pair}
        equal(n, sum(count for (i, j), count in pairs.items() if i == j and count > 0))
        noise += [count - exact.get(pair, 0) for pair, count in pairs.items()]
    deviation = math.sqrt((4 * 5 / 2 + 1) / (2 * rho))
    mean, square = sum(noise) / len(noise), sum(x * x for x in noise) / len(noise)
    assert abs(mean) < 5 * deviation / math.sqrt(len(noise)), mean
    assert abs(square / deviation ** 2 - 1) < 5 * math.sqrt(2 / len(noise)), (square, deviation ** 2)
    lag = sum(a * b for a, b in zip(noise, noise[1:])) / len(noise)
    assert abs(lag) < 5 * deviation ** 2 / math.sqrt(len(noise)), lag
    # many users, little noise: nearly the model of the exact sums
    many = shop_of(shop, list(people(9, 3000, 1000, 30, 20)))
    for rho, least in ((50, .8), (5000, .95)):
        exact, private = (one(many, "SELECT rec_train('recs', ?, rec_sums('recs', ?))", json.dumps({**OPTIONS, "reg": 100, "max_history": 10}),
                              json.dumps({"max_history": 10, "until": 10000000, **noisy})) for noisy in ({}, {"rho": rho}))
        lists = []
        for version in (exact, private):
            checksum(many, version)
            lists.append({row for user in range(1000, 1050) for row in rows(many, "SELECT user, item FROM recs WHERE user = ? AND k = 5", user)})
        assert len(lists[0] & lists[1]) / len(lists[0]) > least, (rho, len(lists[0] & lists[1]), len(lists[0]))


def test_refusals(shop):
    db = shop_of(shop, parts()[0])
    sums = one(db, "SELECT rec_sums('recs')")
    private = one(db, "SELECT rec_sums('recs', '{\"rho\": 1, \"max_history\": 5, \"until\": 10000000}')")
    for sql, says in (("SELECT rec_sums('nosuch')", "no rec_model named 'nosuch'"), ("SELECT rec_sums('recs', '{\"factors\": 3}')", "unknown option 'factors'"),
                      ("SELECT rec_sums('recs', '{\"rho\": 1, \"until\": 10000000}')", "max_history="), ("SELECT rec_sums('recs', '{\"rho\": 1, \"max_history\": 5}')", "rho needs until"),
                      ("SELECT rec_sums('recs', '{\"min_support\": 2}')", "min_support=1"), ("SELECT rec_sums('recs', '{\"rho\": 1e-14, \"max_history\": 9, \"until\": 10000000}')", "too small"),
                      ("SELECT rec_join_sums('x')", "a BLOB of rec_sums"), ("SELECT rec_join_sums(x'00')", "not a stored sums"), ("SELECT rec_train('recs', '{}', 'x')", "a BLOB of rec_sums"),
                      ("SELECT rec_train('recs', '{\"algorithm\": \"ease\"}', x'00')", "not a stored sums")):
        refused(db, sql, says=says)
    for options, blob, says in (({"algorithm": "slim"}, sums, "slim is not trained on sums"), ({"algorithm": "ease", "target": "next"}, sums, "target=self"),
                                ({"algorithm": "ease", "pairs": "weighted"}, sums, "pairs=binary"), ({"algorithm": "ease", "max_history": 7}, sums, "max_history=0"),
                                ({"algorithm": "ease", "min_support": 3}, sums, "min_support"), ({"algorithm": "ease", "until": 5}, sums, "until is said where the sums are made"),
                                ({"algorithm": "ease", "memory": .001}, sums, "GiB"), ({"algorithm": "ease", "max_history": 5, "reg": .001}, private, "too small")):
        refused(db, "SELECT rec_train('recs', ?, ?)", json.dumps(options), blob, says=says)
    db.execute("CREATE TEMP TABLE two(sums)")
    for other, says in ((private, "max_history"), (one(db, "SELECT rec_sums('recs', '{\"until\": 400000}')"), "until"),):
        db.execute("DELETE FROM two")
        db.executemany("INSERT INTO two VALUES(?)", [(sums,), (other,)])
        refused(db, "SELECT rec_join_sums(sums) FROM two", says=says)
    db.execute("DELETE FROM two")
    db.executemany("INSERT INTO two VALUES(?)", [(private,), (one(db, "SELECT rec_sums('recs', '{\"max_history\": 5, \"until\": 10000000}')"),)])
    refused(db, "SELECT rec_join_sums(sums) FROM two", says="with noise and sums without")
    equal(one(db, "SELECT rec_join_sums(sums) FROM two WHERE sums IS NULL"), None)
    db.execute("DELETE FROM two")
    last = one(db, "SELECT rec_sums('recs', '{\"combine\": \"last\"}')")
    db.executemany("INSERT INTO two VALUES(?)", [(sums,), (last,)])
    refused(db, "SELECT rec_join_sums(sums) FROM two", says="combine")
    refused(db, "SELECT rec_train('recs', '{\"algorithm\": \"ease\"}', ?)", last, says="combine")
    # what is there twice would count twice, also inside a sum
    other = one(shop_of(shop, parts()[1]), "SELECT rec_sums('recs')")
    both = joined(db, [sums, other])
    equal(rows(db, "SELECT parts, users FROM rec_sums_info(?)", both), [(2, one(db, "SELECT users FROM rec_sums_info(?)", sums) + one(db, "SELECT users FROM rec_sums_info(?)", other))])
    for twice in ([sums, sums], [both, other], [both, both]):
        db.execute("DELETE FROM two")
        db.executemany("INSERT INTO two VALUES(?)", [(blob,) for blob in twice])
        refused(db, "SELECT rec_join_sums(sums) FROM two", says="there twice")
    for options, says in (({"max_rows": 10}, "max_rows"), ({"max_seconds": 1e-9}, "max_seconds"), ({"rho": 1, "until": 10000000}, "max_history=")):
        refused(db, "SELECT rec_sums('recs', ?)", json.dumps(options), says=says)
    refused(db, "SELECT rec_train('recs', '{\"algorithm\": \"ease\", \"max_rows\": 5}', ?)", sums, says="max_rows")
    db.execute("CREATE VIRTUAL TABLE timeless USING rec_model(events=sales, user=customer, item=product)")
    refused(db, "SELECT rec_train('timeless', '{\"algorithm\": \"ease\"}', ?)", one(db, "SELECT rec_sums('recs', '{\"until\": 400000}')"), says="time=")
    refused(db, "SELECT rec_sums('timeless', '{\"until\": 400000}')", says="time=")
    refused(db, "SELECT * FROM rec_estimate('timeless', '{\"until\": 400000}')", says="time=")
    refused(db, "SELECT * FROM rec_sums_info('x')", says="a BLOB of rec_sums")
    checksum(db, one(db, "SELECT rec_train('recs', '{\"algorithm\": \"ease\"}', ?)", sums))
    refused(db, "SELECT rec_verify('recs')", says="it is of sums")
    refused(db, "SELECT * FROM rec_drift('recs')", says="it is of sums")
    db.execute("CREATE VIRTUAL TABLE bare USING rec_model(events=sales, user=customer, item=product, time=at)")
    refused(db, "SELECT rec_sums('bare', '{\"rho\": 1, \"max_history\": 5, \"until\": 10000000}')", says="items=")
    equal(len(one(db, "SELECT rec_sums('bare')")) > 100, True)


def test_damaged_sums(shop):
    """Any byte: an error. Any number with the checksum mended: an error or a model, never a crash."""
    from support import resealed
    db = shop_of(shop, parts()[2])
    blob = one(db, "SELECT rec_sums('recs')")
    draw = random.Random(3)
    for at in [*range(0, 90), *(draw.randrange(len(blob)) for _ in range(200))]:
        bad = bytearray(blob)
        bad[at] ^= 1 << draw.randrange(8)
        try:
            one(db, "SELECT rec_train('recs', '{\"algorithm\": \"ease\"}', ?)", bytes(bad))
        except Exception as error:
            assert "stored sums" in str(error) or "dictionary of keys" in str(error), error
        else:
            raise AssertionError(f"byte {at}: taken")
    for _ in range(400):
        bad = bytearray(blob)
        for _ in range(draw.randrange(1, 4)):
            bad[draw.randrange(12, len(blob) - 32)] ^= 1 << draw.randrange(8)
        try:
            one(db, "SELECT length(rec_train('recs', '{\"algorithm\": \"ease\"}', rec_join_sums(?)))", resealed(bad, len(bad) - 32))
        except Exception as error:
            assert "sums" in str(error) or "reg=" in str(error) or "dictionary of keys" in str(error), error
    for size in range(0, len(blob), max(1, len(blob) // 60)):
        refused(db, "SELECT rec_join_sums(?)", blob[:size], says="rec_join_sums: ")


def test_more_than_a_blob_holds(shop):
    """It is said before anything is counted, or drawn."""
    db = shop_of(shop, parts()[0])
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4000)
    refused(db, "SELECT rec_sums('recs')", says=("a BLOB holds 500 of them", "40 items"))
    refused(db, "SELECT rec_sums('recs', '{\"rho\": 1, \"max_history\": 5, \"until\": 10000000}')", says=("a BLOB holds 500 of them", "1830 pairs"))


def test_numbers_of_hostile_sums(shop):
    """As many events as fit into the format, again and again: an error where they add up to too many."""
    from support import resealed
    db = shop_of(shop, parts()[2])
    blob = bytearray(one(db, "SELECT rec_sums('recs')"))
    many = []
    for n in range(3):
        blob[20:28] = struct.pack("<Q", 2 ** 53 - n)
        many.append(resealed(blob, len(blob) - 32))
    equal(one(db, "SELECT events FROM rec_sums_info(?)", many[0]), 2 ** 53)
    try:
        joined(db, many)
        raise AssertionError("taken")
    except Exception as error:
        assert "2^53 events" in str(error), error


def test_an_empty_shop(shop):
    db = shop_of(shop, [])
    equal(content(one(db, "SELECT rec_sums('recs')"))[-1], {})
    full = shop_of(shop, parts()[0])
    sums = one(full, "SELECT rec_sums('recs')")
    # two shops that are alike are two shops
    equal(content(joined(full, [one(db, "SELECT rec_sums('recs')"), one(db, "SELECT rec_sums('recs')")]))[6], 2)
    equal(content(joined(full, [one(db, "SELECT rec_sums('recs')"), sums]))[-1], content(sums)[-1])
