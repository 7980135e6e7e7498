"""What the tests of docs/examples/cluster share: the same bytes and answers on each node, and a plain file beside them as the oracle."""
import hashlib
import os
import pathlib
import signal
import sqlite3
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "docs/examples/cluster"))
import cluster as example  # noqa: E402
import dqlite  # noqa: E402

CUSTOMERS = [12388, 12347, 12415, 13089, 14156, 14911, 15311, 17841, 18102, 99]
# what is asked to compare: lists of customers, a cart, an item
LISTS = [("SELECT item, score FROM recs WHERE user = ? AND k = 20", user) for user in CUSTOMERS]
LISTS += [("SELECT item, score FROM recs WHERE basket = ? AND k = 20", '["85123A", "71053"]'), ("SELECT item, score FROM recs WHERE similar_to = ? AND k = 20", "22423")]


def extended(path, extension):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(str(extension))
    return db


def dump_hash(address):
    """SHA-256 of a node's database with its log folded in."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "copy.db")
        example.copy(address, path)
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()


def same_bytes(local, nodes, patience=60):
    """The hash that all nodes have, once the slowest has caught up."""
    end = time.monotonic() + patience
    while True:
        hashes = {node: dump_hash(local.address(node)) for node in nodes}
        if len(set(hashes.values())) == 1:
            return hashes.popitem()[1]
        assert time.monotonic() < end, f"the nodes differ: {hashes}"
        time.sleep(.1)


def lists(cluster):
    return [cluster.query(sql, [value]) for sql, value in LISTS]


def lead(cluster, node, patience=30):
    """Makes a node lead."""
    end = time.monotonic() + patience
    while cluster.connect().leader()[0] != node:
        assert time.monotonic() < end, f"node {node} does not come to lead"
        try:
            cluster.connect().transfer(node)
        except (dqlite.Gone, dqlite.Error):
            time.sleep(.1)
        cluster.close()


def same_answers(cluster, nodes):
    answers = []
    for node in nodes:
        lead(cluster, node)
        answers.append(lists(cluster))
    assert all(answer == answers[0] for answer in answers), "two nodes give different lists"
    assert all(rows for rows in answers[0]), answers[0]
    return answers[0]


def write(cluster, sql, values=()):
    """A statement that may be made twice, until it is made."""
    end = time.monotonic() + cluster.patience
    while True:
        try:
            return cluster.execute(sql, values)
        except dqlite.Gone:
            if time.monotonic() > end:
                raise


def caught_up(local, cluster, node, patience=60):
    """Waits until a node has what has been written until now."""
    write(cluster, "CREATE TABLE IF NOT EXISTS marks(mark INTEGER)")
    write(cluster, "INSERT INTO marks VALUES(1)")
    wanted, end = cluster.query("SELECT count(*) FROM marks")[0][0], time.monotonic() + patience
    while True:
        with tempfile.TemporaryDirectory() as folder:
            try:
                example.copy(local.address(node), os.path.join(folder, "copy.db"))
                if sqlite3.connect(os.path.join(folder, "copy.db")).execute("SELECT count(*) FROM marks").fetchone()[0] >= wanted:
                    return
            except (dqlite.Gone, dqlite.Error, sqlite3.OperationalError):
                pass  # it has not come so far
        assert time.monotonic() < end, f"node {node} does not catch up"
        time.sleep(.1)
