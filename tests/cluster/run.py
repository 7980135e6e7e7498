"""The cluster of docs/examples/cluster, in short (kills.py and upgrade.py are the long forms).

    run.py BUILD      Last line: "N passed, N failed"; skipped with a word where libdqlite is not there"""
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time
import traceback

import kills
import operations
import support
import upgrade
from support import dqlite, example

PORT = 9501


class World:
    """Three nodes with the sample shop, and a plain file with the same rows."""

    def __init__(self, build, folder):
        self.build, self.folder, self.program = build, folder, build / "cluster/node"
        self.local = example.Local(self.program, folder / "nodes", PORT, 1500)
        self.cluster = example.found(self.local)
        example.load_shop(self.cluster, build / "shop.db")
        support.caught_up(self.local, self.cluster, 2)
        example.copy(self.local.address(2), str(folder / "plain.db"))
        self.plain = support.extended(folder / "plain.db", build / "recommend")


def answers_are_those_of_a_plain_file(world):
    answers = support.same_answers(world.cluster, (1, 2, 3))
    assert answers == [world.plain.execute(sql, [value]).fetchall() for sql, value in support.LISTS]


def trained_on_a_followers_copy(world):
    follower = world.cluster.connect().leader()[0] % 3 + 1
    path = str(world.folder / "follower.db")
    support.caught_up(world.local, world.cluster, follower)
    example.copy(world.local.address(follower), path)
    db = support.extended(path, world.build / "recommend")
    version, = db.execute("""SELECT rec_train('recs', '{"algorithm": "ease", "max_items": 1000}')""").fetchone()
    db.execute("INSERT INTO recs(recs, arg) VALUES('load', ?)", [version])
    support.write(world.cluster, "INSERT INTO recs(recs, arg) VALUES('load', ?)", [version])
    served = "SELECT sha256, algorithm FROM rec_versions WHERE active"
    assert world.cluster.query(served) == db.execute(served).fetchall()
    assert support.same_answers(world.cluster, (1, 2, 3)) == [db.execute(sql, [value]).fetchall() for sql, value in support.LISTS]
    support.same_bytes(world.local, (1, 2, 3))


def a_kill_in_each_operation(world):
    chance = random.Random(11)
    for kind in operations.ALL:
        operation = kind(world.plain)
        operation.setup(world.cluster)
        typical = kills.undisturbed(world.cluster, operation, 0)
        kills.one_kill(world.local, world.cluster, operation, 1, typical, chance)
    support.same_bytes(world.local, (1, 2, 3))
    support.same_answers(world.cluster, (1, 2, 3))


def a_node_that_joins_later(world):
    world.local.join(4, world.cluster)
    support.same_bytes(world.local, (1, 2, 3, 4))
    answers = support.lists(world.cluster)
    support.lead(world.cluster, 4)
    assert support.lists(world.cluster) == answers
    support.lead(world.cluster, 1)
    world.cluster.connect().remove(4)
    world.local.kill(4)


def what_is_refused(world):
    """With a sentence; and the node goes on."""
    for sql, says in (("SELECT rec_tune('recs', '{}')", "cannot write to a replicated database"),
                      ("SELECT load_extension('x')", "not authorized"),
                      ("INSERT INTO recs(recs, arg) VALUES('train', '{\"algorithm\": \"sequence\", \"max_seconds\": 0.2}')", "max_seconds"),
                      ("SELECT item FROM recs WHERE user = 12388 AND k = 'many'", "k="),
                      ("INSERT INTO recs(recs, arg) VALUES('load', x'00')", "not a stored model")):
        try:
            (world.cluster.query if sql.startswith("SELECT") else world.cluster.execute)(sql)
        except dqlite.Error as error:
            assert says in str(error), f"{sql}: {error}"
        else:
            raise AssertionError(f"{sql}: taken")
        assert len(support.lists(world.cluster)[0]) == 20


def what_the_client_promises(world):
    """No patience without an end, no answer of another question, no text that becomes two values."""
    nobody = dqlite.Cluster(["127.0.0.1:1"], "x", .3)
    for call in (lambda: nobody.execute("INSERT", [], ("SELECT 1", [])), lambda: nobody.query("SELECT 1"), nobody.fence):
        began = time.monotonic()
        try:
            call()
            raise AssertionError("answered")
        except dqlite.Refused:
            assert time.monotonic() - began < 5
    try:
        world.cluster.query("SELECT ?", ["one\0two"])
        raise AssertionError("taken")
    except ValueError:
        pass
    values = [None, True, 0, -2 ** 63, 1.5, "", "seven..", "eight...", "\u00e4\u6f22", b"", b"1234567", b"12345678", b"123456789"]
    assert world.cluster.query("SELECT " + ", ".join("?" * len(values)), values) == [tuple(values[:1] + [1] + values[2:])]
    rows = world.cluster.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, 'row ' || i FROM n")
    assert rows == [(i, f"row {i}") for i in range(1, 20001)]
    assert world.cluster.query("SELECT CAST(x'61ff62' AS TEXT)") == [("a\udcffb",)]
    assert world.cluster.query("SELECT 1 WHERE 0") == [] and world.cluster.query("SELECT 2") == [(2,)]
    for body in (b"", bytes(8)):  # a failure that is cut off: an error, and no search without an end
        try:
            dqlite.Answer(0, body).failure()
            raise AssertionError("read")
        except (struct.error, ValueError):
            pass


def replaced_node_by_node_under_load(world):
    support.write(world.cluster, "DROP TABLE IF EXISTS clicks")
    support.write(world.cluster, "CREATE TABLE clicks(batch TEXT, customer INTEGER, product TEXT)")
    reads, writes, errors = upgrade.roll(world.local, world.cluster, world.program, 1)
    assert not errors and len(reads) > 100 and len(writes) > 10, (len(reads), len(writes), errors[:5])


def all_nodes_killed_at_once(world):
    answers, version = support.lists(world.cluster), operations.newest(world.cluster.query)
    for node in (1, 2, 3):
        world.local.kill(node)
    world.cluster.close()
    for node in (1, 2, 3):
        world.local.start(node)
    assert support.lists(world.cluster) == answers and operations.newest(world.cluster.query) == version


def the_program_and_its_words(world):
    """cluster.py up (again), sql, copy, status, and an error."""
    program = [sys.executable, str(support.ROOT / "docs/examples/cluster/cluster.py")]
    environment = {**os.environ, "CLUSTER_PORT": str(PORT + 50)}

    def say(*arguments, code=0):
        done = subprocess.run([*program, *arguments], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done
        return (done.stderr if code else done.stdout).strip()

    folder = world.folder / "up"
    for again in range(2):
        with open(world.folder / "up.log", "w") as log:
            up = subprocess.Popen([*program, "up", str(world.program), str(world.build / "shop.db"), str(folder)], env=environment, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 60
            while "three nodes lead and follow" not in (world.folder / "up.log").read_text():
                assert up.poll() is None and time.monotonic() < end, (world.folder / "up.log").read_text()
                time.sleep(.05)
            assert say("sql", "SELECT version, algorithm FROM rec_versions") == "1|item_knn"
            nodes = [line.split() for line in say("status").splitlines()]
            assert sorted(words[2] for words in nodes) == ["leads", "votes", "votes"], nodes
            say("copy", str(world.folder / "copy.db"))  # of one that follows, at its pace
            say("copy", str(world.folder / "copy.db"), next(words[0] for words in nodes if words[2] == "leads"))
            assert support.extended(world.folder / "copy.db", world.build / "recommend").execute("SELECT count(*) FROM recs WHERE user = 12388 AND k = 9").fetchone() == (9,)
            assert "no such table: nowhere" in say("sql", "SELECT 1 FROM nowhere", code=1)
            assert say("nonsense", code=2).startswith("Three nodes on loopback")
        finally:
            up.terminate()
            assert up.wait(30) == 0, (world.folder / "up.log").read_text()


CASES = [answers_are_those_of_a_plain_file, trained_on_a_followers_copy, a_kill_in_each_operation, a_node_that_joins_later, what_is_refused, what_the_client_promises,
         replaced_node_by_node_under_load, all_nodes_killed_at_once, the_program_and_its_words]


def main(build):
    build = pathlib.Path(build).resolve()
    made = subprocess.run(["make", "--no-print-directory", f"BUILD={build}", str(build / "cluster/node"), str(build / "shop.db")], cwd=support.ROOT, capture_output=True, text=True)
    if made.returncode:
        print(f"SKIP cluster: {(made.stderr.strip().splitlines() or ['no node'])[-1]}\n0 passed, 0 failed, {len(CASES)} skipped")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        world = World(build, pathlib.Path(folder))
        try:
            for case in CASES:
                began = time.monotonic()
                try:
                    case(world)
                    print(f"ok {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
                except Exception:
                    failed += 1
                    print(f"FAIL {case.__name__}\n{traceback.format_exc()}", flush=True)
        finally:
            world.cluster.close()
            world.local.stop()
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
