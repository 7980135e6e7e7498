#!/usr/bin/python3
"""Lists a second by how many processes ask, over one file and over two copies of it, while one more writes orders.

    load.py BUILD [SECONDS]

Each process has a connection and a prepared statement, asks for the ten best of a random customer as fast as it can, and is paced by
nothing. An order a millisecond goes into the primary meanwhile; the copies are as they were made (docs/replicas.md). Python's share is in
the figures. Beside each: what docs/capacity.py foretells from the first row."""
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ASK = "SELECT item FROM recs WHERE user = ? AND k = 10"


def connect(build, path):
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.enable_load_extension(True)
    db.load_extension(str(build / "recommend"))
    return db


def ask(build, path, customers, seconds, ready, answers):
    db, draw, taken = connect(build, path), random.Random(os.getpid()), []
    for customer in customers[:50]:
        assert len(db.execute(ASK, (customer,)).fetchall()) == 10
    ready.wait()
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        db.execute(ASK, (draw.choice(customers),)).fetchall()
        taken.append(time.perf_counter() - began)
    taken.sort()
    answers.put((len(taken), taken[len(taken) // 2], taken[len(taken) * 99 // 100]))


def write(build, path, stop, written):
    db = connect(build, path)
    while not stop.is_set():
        db.execute("INSERT INTO events(customer_id, stock_code, quantity, bought_at) SELECT customer_id, '22423', 1, unixepoch() FROM customers ORDER BY random() LIMIT 1")
        written.value += 1
        time.sleep(.001)


def round_of(build, paths, customers, processes, seconds):
    ready, stop = multiprocessing.Barrier(processes + 1), multiprocessing.Event()
    answers, written = multiprocessing.Queue(), multiprocessing.Value("q", 0)
    writer = multiprocessing.Process(target=write, args=(build, paths[0], stop, written))
    asking = [multiprocessing.Process(target=ask, args=(build, paths[i % len(paths)], customers, seconds, ready, answers)) for i in range(processes)]
    for process in [writer, *asking]:
        process.start()
    ready.wait()
    seen = [answers.get(timeout=seconds + 60) for _ in asking]
    stop.set()
    for process in [writer, *asking]:
        process.join()
        assert process.exitcode == 0
    return sum(n for n, _, _ in seen) / seconds, max(p50 for _, p50, _ in seen), max(p99 for _, _, p99 in seen), written.value / seconds


def main(build, seconds=5):
    build, seconds = pathlib.Path(build).resolve(), float(seconds)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        primary = os.path.join(folder, "shop.db")
        shutil.copy(build / "shop.db", primary)
        db = connect(build, primary)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at, algorithm=ials, factors=64)")
        db.execute("INSERT INTO recs(recs) VALUES('train')")
        customers = [row[0] for row in db.execute("SELECT DISTINCT customer_id FROM purchases LIMIT 2000")]
        replica = os.path.join(folder, "replica.db")
        db.execute("VACUUM INTO ?", (replica,))
        db.close()
        print(f"{cores} cores\n| files | processes | lists/s | foretold | p50 ms | p99 ms | orders/s |\n|---|---|---|---|---|---|---|")
        alone = None
        for paths in ([primary], [primary, replica]):
            for processes in (1, 2, 4):
                if processes < len(paths):
                    continue
                rate, p50, p99, orders = round_of(build, paths, customers, processes, seconds)
                alone = alone or rate
                # docs/capacity.py: processes scale with cores, of which the writer takes its share
                said = json.loads(subprocess.run([sys.executable, str(ROOT / "docs/capacity.py"), "--json", "--lists-a-core", str(alone), "--cores", str(cores), "--processes", str(processes)],
                                                 capture_output=True, text=True, check=True).stdout)["lists_a_second"]
                print(f"| {len(paths)} | {processes} | {rate:.0f} | {said:.0f} | {1e3 * p50:.2f} | {1e3 * p99:.2f} | {orders:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
