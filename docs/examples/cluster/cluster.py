#!/usr/bin/python3
"""Three nodes on loopback with the sample shop, and what one asks of them.

    cluster.py up NODE SHOP.db FOLDER     NODE: the program of node.c. Starts three, the shop in them, and stays until it is ended
    cluster.py sql 'SELECT ...'           asks the leader; a statement that writes answers (last rowid, rows changed)
    cluster.py copy FILE [NODE]           a node's database as a file of its own, by default that of one that follows
    cluster.py status                     who leads, and each node's address

Ports 9101 to 9103, or from CLUSTER_PORT on."""
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

import dqlite

PORT = int(os.environ.get("CLUSTER_PORT", "9101"))
DATABASE = "shop"
CHUNK = 4000  # rows a statement: a change of some hundred kilobytes
MODEL = """CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at,
    algorithm=item_knn)"""


class Local:
    """Nodes 1, 2, ... of a cluster on this machine, each with a folder."""

    def __init__(self, program, folder, port=PORT, silence=None):
        self.program, self.folder, self.port, self.process = str(program), pathlib.Path(folder), port, {}
        self.silence = [str(silence)] if silence else []
        self.folder.mkdir(parents=True, exist_ok=True)

    def address(self, node):
        return f"127.0.0.1:{self.port + node - 1}"

    def addresses(self, n=3):
        return [self.address(node) for node in range(1, n + 1)]

    def start(self, node, program=None):
        with open(self.folder / f"{node}.log", "ab") as log:
            self.process[node] = subprocess.Popen([str(program or self.program), str(node), self.address(node), str(self.folder / str(node)), *self.silence],
                                                  stdout=log, stderr=log)
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process[node].poll() is None:
            try:
                return dqlite.Node(self.address(node), 2).close()
            except dqlite.Gone:
                time.sleep(.02)
        raise SystemExit(f"node {node} does not start: see {self.folder / f'{node}.log'}")

    def kill(self, node, signal_number=signal.SIGKILL):
        self.process[node].send_signal(signal_number)
        self.process[node].wait()

    def join(self, node, cluster):
        """A new node into the cluster, as one that votes: it has the database before it does."""
        self.start(node)
        leader = cluster.connect()
        leader.add(node, self.address(node))
        end = time.monotonic() + 60
        while True:
            try:
                return leader.make_voter(node)
            except dqlite.Error:  # it still catches up
                if time.monotonic() > end:
                    raise
                time.sleep(.1)

    def stop(self):
        for process in self.process.values():
            if process.poll() is None:
                process.terminate()
        for process in self.process.values():
            process.wait()


def found(local, n=3, **options):
    """A cluster of n new nodes."""
    cluster = dqlite.Cluster(local.addresses(n), DATABASE, **options)
    local.start(1)
    for node in range(2, n + 1):
        local.join(node, cluster)
    return cluster


def rows_in_chunks(shop, table):
    chunk = []
    for row in shop.execute(f"SELECT * FROM {table}"):
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def load_shop(cluster, path):
    """The tables of a database file, some thousand rows a statement, and a model of its purchases."""
    shop = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    schema = shop.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'table' DESC, type = 'index'").fetchall()
    for kind, name, sql in schema:
        cluster.execute(sql)
        if kind == "table":
            columns = ", ".join(f"value ->> {c}" for c in range(len(shop.execute(f"SELECT * FROM {name} LIMIT 0").description)))
            for chunk in rows_in_chunks(shop, name):
                cluster.execute(f"INSERT INTO {name} SELECT {columns} FROM json_each(?)", [json.dumps(chunk)])
    cluster.execute(MODEL)
    cluster.execute("INSERT INTO recs(recs) VALUES('train')")


def copy(address, path):
    """What a node has now, as one file. It need not lead, and answers others meanwhile."""
    node = dqlite.Node(address)
    try:
        files = node.files(DATABASE)
    finally:
        node.close()
    for suffix in ("", "-wal"):
        pathlib.Path(f"{path}{suffix}").write_bytes(files[DATABASE + suffix])
    db = sqlite3.connect(path)  # the log into the file
    db.execute("PRAGMA journal_mode = DELETE")
    db.close()


def up(program, shop, folder):
    if pathlib.Path(folder, "1").exists():  # as it was left
        local = Local(program, folder)
        for node in (1, 2, 3):
            local.start(node)
        cluster = dqlite.Cluster(local.addresses(), DATABASE)
    else:
        local = Local(program, folder)
        began = time.monotonic()
        cluster = found(local)
        print(f"three nodes: {time.monotonic() - began:.1f} s", flush=True)
        began = time.monotonic()
        load_shop(cluster, shop)
        print(f"the shop loaded and a model trained: {time.monotonic() - began:.1f} s", flush=True)
    print("three nodes lead and follow at " + ", ".join(local.addresses()) + "; Ctrl-C ends them. In another terminal:\n"
          f"    {sys.argv[0]} sql 'SELECT item, score FROM recs WHERE user = 12388 AND k = 3'", flush=True)
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.close()
        local.stop()


def main(command="", *arguments):
    addresses = [f"127.0.0.1:{PORT + node}" for node in range(3)]
    if command == "up" and len(arguments) == 3:
        return up(*arguments)
    cluster = dqlite.Cluster(addresses, DATABASE, 5)
    try:
        if command == "sql" and len(arguments) == 1:
            word = arguments[0].lstrip().upper()
            if word.startswith(("SELECT", "VALUES", "EXPLAIN")):
                rows = cluster.query(arguments[0])
            elif word.startswith(("WITH", "PRAGMA")):  # may give rows and may write: asked once
                rows = cluster.connect().query(arguments[0])
            else:
                rows = [cluster.execute(arguments[0])]
            for row in rows:
                print(*("" if value is None else value for value in row), sep="|")
        elif command == "copy" and len(arguments) in (1, 2):
            leader, nodes = cluster.connect().leader()[0], cluster.connect().nodes()
            copy(nodes[int(arguments[1])][0] if len(arguments) == 2 else next(address for node, (address, _) in nodes.items() if node != leader), arguments[0])
        elif command == "status" and not arguments:
            leader = cluster.connect().leader()[0]
            for node, (address, role) in sorted(cluster.connect().nodes().items()):
                print(node, address, "leads" if node == leader else ("votes", "stands by", "spare")[role])
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except (dqlite.Error, dqlite.Gone) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
