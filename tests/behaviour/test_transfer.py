"""Versions that travel between databases as rows, and lists of two versions beside each other."""
import json, os, sqlite3, subprocess, sys

from support import equal, make_events, make_model, one, refused, rows, shadow
from test_rollout import note, two_versions


def lists(db, name="m", **options):
    return rows(db, f"SELECT user, item, score FROM {name} WHERE k = 5 AND options = ?", json.dumps(options))


def test_a_version_travels_as_rows_of_a_plain_table(shop):
    db = two_versions(shop, "one.db")
    note(db, "annotate", {"version": 2, "tags": {"ndcg.10": 0.5, "season": "winter"}, "note": "the plain list"})
    note(db, "alias", {"challenger": 2})
    db.execute("ATTACH ? AS parcel", (shop.path("parcel.db"),))
    note(db, "export", {"version": "challenger", "to": "parcel.shipped"})
    note(db, "export", {"to": "shipped"})
    expected = lists(db, version=2)
    sha = one(db, "SELECT sha256 FROM rec_versions WHERE version = 2")
    db.close()
    # whoever carries it needs no extension
    plain = sqlite3.connect(shop.path("parcel.db"))
    manifest = json.loads(plain.execute("SELECT data FROM shipped WHERE part = 0").fetchone()[0])
    equal((manifest["sha256"], manifest["algorithm"], manifest["tags"], manifest["note"]), (sha, "popular", {"ndcg.10": 0.5, "season": "winter"}, "the plain list"))
    plain.close()
    db = shop.connect("two.db")
    make_events(db, users=60)
    make_model(db)
    db.execute("ATTACH ? AS parcel", (shop.path("parcel.db"),))
    note(db, "import", {"from": "parcel.shipped", "activate": "never"})
    equal(rows(db, "SELECT version, active, sha256, json(tags), note FROM rec_versions"), [(1, 1, one(db, "SELECT sha256 FROM rec_versions"), "{}", None), (2, 0, sha, '{"ndcg.10":0.5,"season":"winter"}', "the plain list")])
    equal(lists(db, version=2), expected)
    note(db, "import", {"from": "parcel.shipped"})
    equal(rows(db, "SELECT version, action FROM rec_deployments ORDER BY deployment DESC LIMIT 1"), [(3, "import")])
    equal(json.loads(one(db, "SELECT detail FROM rec_audit('m') ORDER BY id DESC LIMIT 1"))["sha256"], sha)


def test_what_was_changed_on_the_way_is_refused(shop):
    db = two_versions(shop)
    note(db, "export", {"version": 1, "to": "shipped"})
    refused(db, "INSERT INTO m(m, arg) VALUES('export', '{\"version\": 1, \"to\": \"shipped\"}')", says="already exists")
    before = shadow(db, "m")
    for damage, says in (("UPDATE shipped SET data = json_set(data, '$.sha256', printf('%064d', 0)) WHERE part = 0", "not those that were exported"),
                         ("UPDATE shipped SET data = zeroblob(length(data)) WHERE part = 1", "import"), ("UPDATE shipped SET data = substr(data, 1, length(data) / 2) WHERE part = 1", ""), ("DELETE FROM shipped WHERE part = 1", ""),
                         ("DELETE FROM shipped WHERE part = 0", "no table of export"), ("UPDATE shipped SET data = json_set(data, '$.format', 7) WHERE part = 0", "another format (7)"), ("UPDATE shipped SET data = json_set(data, '$.tags', 3) WHERE part = 0", "")):
        for begin in (False, True):
            db.execute("SAVEPOINT s")
            db.execute(damage)
            try:
                db.execute("INSERT INTO m(m, arg) VALUES('import', '{\"from\": \"shipped\"}')")
                assert "tags" in damage, damage
            except sqlite3.Error as error:
                assert says in str(error), (damage, error)
                equal(shadow(db, "m"), before, damage)
            db.execute("ROLLBACK TO s")
            db.execute("RELEASE s")
    for arg, says in (({}, "from is the name"), ({"from": "nosuch"}, "nosuch"), ({"from": "events"}, "no such column"), ({"from": "shipped", "activate": "perhaps"}, "always or never"), ({"wild": 1}, "unknown 'wild'")):
        refused(db, "INSERT INTO m(m, arg) VALUES('import', ?)", json.dumps(arg), says=says)
    for arg, says in (({"version": 9, "to": "x"}, "no version 9"), ({"version": 1}, "to is the name"), ({"version": 1, "to": "main."}, "to is the name"), ({"version": "nobody", "to": "x"}, "no alias 'nobody'")):
        refused(db, "INSERT INTO m(m, arg) VALUES('export', ?)", json.dumps(arg), says=says)
    db.execute("BEGIN")
    note(db, "export", {"version": 2, "to": "other"})
    db.execute("ROLLBACK")
    equal(shadow(db, "m"), before)
    equal(one(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'other'"), 0)


# ---- rec_shadow ----


def overlap(a, b, k=10, p=0.9):
    """Rank-biased overlap, extrapolated: equation 30 of Webber, Moffat and Zobel 2010."""
    sizes = [len(set(a[:d]) & set(b[:d])) for d in range(1, k + 1)]
    return sizes[-1] / k * p ** k + (1 - p) / p * sum(size / d * p ** d for d, size in enumerate(sizes, 1))


def test_lists_beside_each_other(shop):
    db = two_versions(shop)
    note(db, "alias", {"challenger": 2})
    own = [{}, {}]
    for i, version in enumerate((1, 2)):
        for user, item, _ in rows(db, "SELECT user, item, rank FROM m WHERE k = 10 AND options = ? ", json.dumps({"version": version})):
            own[i].setdefault(user, []).append(item)
    got = rows(db, "SELECT user, shared, jaccard, rbo, same_first FROM rec_shadow('m', 1, 'challenger')")
    equal([row[0] for row in got], sorted(set(own[0]) | set(own[1])))
    for user, shared, jaccard, rbo, first in got:
        a, b = own[0].get(user, []), own[1].get(user, [])
        equal((shared, first), (len(set(a) & set(b)), int(a[:1] == b[:1] != [])))
        assert abs(jaccard - shared / len(set(a) | set(b))) < 1e-12
        assert abs(rbo - overlap(a, b)) < 1e-12, (user, rbo, overlap(a, b))
    equal(rows(db, "SELECT DISTINCT jaccard, same_first FROM rec_shadow('m', 1, 1, '{\"k\": 3}')"), [(1.0, 1)])
    assert abs(one(db, "SELECT min(rbo) FROM rec_shadow('m', 1, 1)") - 1) < 1e-12
    refused(db, "SELECT * FROM rec_shadow('m', 1, 9)", says="no version 9")
    refused(db, "SELECT * FROM rec_shadow('m', 1, NULL)", says="a version is NULL")
    refused(db, "SELECT * FROM rec_shadow('m', 1, 'nobody')", says="no alias 'nobody'")
    refused(db, "SELECT * FROM rec_shadow('m', 1, 2, '{\"k\": 0}')", says="k=0")
