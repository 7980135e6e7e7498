#!/usr/bin/python3
"""Kills the leader of a three-node cluster while it trains, loads, inserts, builds an index, begins an experiment and forgets.

    kills.py NODE BUILD [KILLS [SILENCE [OPERATION ...]]]      NODE: the program; KILLS: of each operation, default 50; SILENCE: of node.c

The leader gets SIGKILL at a random moment of the statement, or a little after it. Then: the statement is done or it is not, and done if
that was answered; integrity checks pass; the killed node comes back; and when an operation's kills are over all three nodes have the
same bytes and give the same lists. Prints for each operation how often what happened, and how long nobody answered."""
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

import operations
import support
from support import dqlite, example


class Statement(threading.Thread):
    """The statement on a connection of its own."""

    def __init__(self, cluster, sql, values):
        super().__init__()
        self.cluster, self.sql, self.values, self.answered, self.error, self.took = cluster, sql, values, False, None, None
        self.began = time.monotonic()

    def run(self):
        try:
            self.cluster.execute(self.sql, self.values)
            self.answered, self.took = True, time.monotonic() - self.began
        except dqlite.Gone:
            pass
        except Exception as error:  # told in the thread that kills
            self.error = error


def connection(local):
    return dqlite.Cluster(local.addresses(), example.DATABASE)


def one_kill(local, cluster, operation, turn, typical, chance):
    """(answered, done, seconds until a list was answered again, seconds that the statement took or None)"""
    sql, values, after = operation.begin(cluster, turn)
    before = operation.state(cluster)
    assert before != after
    asking = connection(local)
    leader = asking.connect().leader()[0]
    statement = Statement(asking, sql, values)
    statement.start()
    statement.join(chance.uniform(0, 1.5) * typical)
    local.kill(leader)
    killed = time.monotonic()
    cluster.close()
    cluster.query("SELECT item FROM recs WHERE user = 12388 AND k = 10")
    recovered = time.monotonic() - killed
    statement.join()
    asking.close()
    if statement.error:
        raise statement.error
    cluster.fence()
    state = operation.state(cluster)
    assert state in (before, after), f"{operation.name}: {str(before)[:300]}, after {str(after)[:300]}, found {str(state)[:300]}"
    assert state == after or not statement.answered, f"{operation.name}: answered and lost"
    local.start(leader)
    operation.check(cluster)
    return statement.answered, state == after, recovered, statement.took


def undisturbed(cluster, operation, turn):
    """How long the statement takes; what it does is what the plain file says."""
    sql, values, after = operation.begin(cluster, turn)
    began = time.monotonic()
    support.write(cluster, sql, values)
    took = time.monotonic() - began
    state = operation.state(cluster)
    assert state == after, f"{operation.name}: {str(after)[:300]}, found {str(state)[:300]}"
    operation.check(cluster)
    return took


def kills_of(local, cluster, operation, kills, chance):
    operation.setup(cluster)
    typical = statistics.median(undisturbed(cluster, operation, turn) for turn in range(3))
    seen = [one_kill(local, cluster, operation, 3 + turn, typical, chance) for turn in range(kills)]
    digest = support.same_bytes(local, (1, 2, 3))
    support.same_answers(cluster, (1, 2, 3))
    recovered = sorted(seconds for _, _, seconds, _ in seen)
    answered, done = sum(a for a, *_ in seen), sum(d for _, d, *_ in seen)
    print(f"| {operation.name} | {1e3 * typical:.0f} | {kills} | {answered} | {done - answered} | {kills - done} | "
          f"{statistics.median(recovered):.2f} | {recovered[-1]:.2f} | {digest[:12]} |", flush=True)


def main(program, build, kills=50, silence=3000, *names):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        local = example.Local(program, folder / "nodes", 9201, silence)
        try:
            cluster = example.found(local)
            example.load_shop(cluster, pathlib.Path(build) / "shop.db")
            support.caught_up(local, cluster, 2)
            example.copy(local.address(2), str(folder / "plain.db"))
            plain = support.extended(folder / "plain.db", pathlib.Path(build).resolve() / "recommend")
            print("| operation | ms | kills | answered before | done, not answered | not done | nobody answers, s: median | longest | the same bytes |")
            print("|---|---|---|---|---|---|---|---|---|", flush=True)
            for kind in operations.ALL:
                if not names or kind.name in names:
                    kills_of(local, cluster, kind(plain), int(kills), random.Random(7))
            cluster.close()
        finally:
            local.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
