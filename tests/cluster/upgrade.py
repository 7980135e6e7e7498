#!/usr/bin/python3
"""Replaces the program of a three-node cluster, node by node, while customers read lists and write clicks.

    upgrade.py OLD NEW BUILD [SECONDS]      OLD, NEW: programs of node.c; SECONDS of load before, between and after, default 3

Who leads lets another lead before it is ended. No read and no write may fail; in the end every click is there once, and the lists are
those of before."""
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

import support
from support import dqlite, example


class Load(threading.Thread):
    """Asks and asks; every answer's time, every error."""

    def __init__(self, local, seed, writes, stop):
        super().__init__()
        self.cluster, self.random, self.writes, self.stop = dqlite.Cluster(local.addresses(), example.DATABASE), random.Random(seed), writes, stop
        self.seed, self.seconds, self.errors = seed, [], []

    def run(self):
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                if self.writes:
                    click = [str(self.seed), len(self.seconds)]
                    self.cluster.execute("INSERT INTO clicks VALUES(?, ?, '85123A')", click, ("SELECT 1 FROM clicks WHERE batch = ? AND customer = ?", click))
                else:
                    assert self.cluster.query("SELECT count(*) FROM recs WHERE user = ? AND k = 10", [self.random.choice(support.CUSTOMERS)]) == [(10,)]
                self.seconds.append(time.monotonic() - began)
            except Exception as error:  # whatever it is, it counts
                self.errors.append(repr(error))
        self.cluster.close()


def replace(local, cluster, node, program):
    """Ends a node that does not lead, and starts it with another program."""
    if cluster.connect().leader()[0] == node:
        support.lead(cluster, node % 3 + 1)
    cluster.close()
    local.kill(node, support.signal.SIGTERM)
    local.start(node, program)
    support.caught_up(local, cluster, node)


def roll(local, cluster, program, seconds):
    """Answers (read seconds, write seconds, errors) of a load during which all nodes get the program."""
    stop = threading.Event()
    load = [Load(local, 1, False, stop), Load(local, 2, False, stop), Load(local, 3, True, stop)]
    for thread in load:
        thread.start()
    for node in (1, 2, 3):
        time.sleep(seconds)
        replace(local, cluster, node, program)
    time.sleep(seconds)
    stop.set()
    for thread in load:
        thread.join()
    clicks = cluster.query("SELECT count(*), count(DISTINCT customer), max(customer) + 1 FROM clicks WHERE batch = '3'")[0]
    errors = [error for thread in load for error in thread.errors]
    assert clicks == (len(load[2].seconds),) * 3, f"{len(load[2].seconds)} clicks answered, found {clicks}; {errors}"
    return load[0].seconds + load[1].seconds, load[2].seconds, errors


def main(old, new, build, seconds=3):
    with tempfile.TemporaryDirectory() as folder:
        local = example.Local(old, pathlib.Path(folder) / "nodes", 9401)
        try:
            cluster = example.found(local)
            example.load_shop(cluster, pathlib.Path(build) / "shop.db")
            support.write(cluster, "CREATE TABLE clicks(batch TEXT, customer INTEGER, product TEXT)")
            before, version = support.lists(cluster), cluster.query("SELECT rec_version()")
            reads, writes, errors = roll(local, cluster, new, float(seconds))
            assert support.lists(cluster) == before
            support.same_bytes(local, (1, 2, 3))
            print(f"from {version[0][0]} to {cluster.query('SELECT rec_version()')[0][0]}")
            for name, taken in (("lists", reads), ("clicks written", writes)):
                print(f"{len(taken)} {name}: median {1e3 * statistics.median(taken):.1f} ms, longest {1e3 * max(taken):.0f} ms")
            print(f"{len(errors)} errors", *errors[:5], sep="\n")
            cluster.close()
            return 1 if errors else 0
        finally:
            local.stop()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
