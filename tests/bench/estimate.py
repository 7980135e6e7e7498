#!/usr/bin/python3
"""rec_estimate beside the training that it foretells, on the sets of REC_DATA: predicted over measured.

    estimate.py BUILD [SET ...]

A process for each training: seconds of the algorithm (rec_versions.trained_seconds) and of the whole statement, bytes of the version, and by how
much the process grew (its largest resident size). A figure is marked where it is off by more than a factor of two, a training of less
than 50 ms apart, which is not timed well. Returns 1 where more than one in ten is marked."""
import gzip
import json
import os
import pathlib
import resource
import sqlite3
import subprocess
import sys
import tempfile

DATA = pathlib.Path(os.environ.get("REC_DATA", "."))
SETS = {"online-retail": None, "beauty": "amazon-sequences/beauty.txt.gz", "toys": "amazon-sequences/toys.txt.gz", "gowalla": "gowalla/train.txt.gz",
        "amazon-cds": "amazon-cds/train.txt.gz", "yelp2018": "yelp2018/train.txt.gz", "retailrocket": "retailrocket/train_sessions.txt.gz"}
PLAIN = ("popular", "item_knn", "user_knn", "session_knn", "repeat", "slim", "graph", "ials", "mf", "bpr")
OPTIONS = [{"algorithm": name} for name in PLAIN] + [
    {"algorithm": "item_knn", "pairs": "ordered"}, {"algorithm": "slim", "target": "both"}, {"algorithm": "graph", "filter": "turbocf"},
    {"algorithm": "graph", "filter": "gfcf"}, {"algorithm": "ials", "factors": 128, "sweeps": 8}, {"algorithm": "ials", "solver": "blocks", "factors": 128, "sweeps": 4},
    {"algorithm": "ials", "threads": 1}, {"algorithm": "ease", "max_items": 6000}, {"algorithm": "ease", "max_items": 6000, "target": "both"},
    {"algorithm": "sequence", "passes": 2}, {"algorithm": "repeat", "variant": "tifu"},
    {"algorithm": "blend", "models": "[{\"algorithm\": \"item_knn\"}, {\"algorithm\": \"ials\"}]"}]


def make(name, build, path):
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE events(user INTEGER, item INTEGER, at INTEGER); BEGIN")
    if SETS[name]:
        with gzip.open(DATA / SETS[name], "rt") as file:
            for number, line in enumerate(file):
                words = [int(word) for word in line.split()]
                user, items = (number, words) if "sessions" in SETS[name] else (words[0], words[1:])
                db.executemany("INSERT INTO events VALUES(?, ?, ?)", [(user, item, 1000 * number + place) for place, item in enumerate(items)])
    else:
        db.execute("ATTACH ? AS shop", (str(build / "shop.db"),))
        db.execute("INSERT INTO events SELECT customer_id, stock_code, bought_at FROM shop.purchases WHERE quantity > 0")
    db.execute("COMMIT")
    db.close()


def connect(build, path):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(str(build / "recommend"))
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS m USING rec_model(events=events, user=user, item=item, time=at)")
    return db


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def task(build, path, what, options):
    """In a process of its own: prints what was foretold, or what was measured."""
    db = connect(build, path)
    db.execute("SELECT count(*) FROM events").fetchone()
    before = peak()
    if what == "foretell":
        row = db.execute("SELECT training_seconds, seconds, version_bytes, memory_bytes FROM rec_estimate('m', ?)", (options,)).fetchone()
    else:
        began = os.times().elapsed
        db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps({**json.loads(options), "keep": 1}),))
        whole = os.times().elapsed - began
        seconds, stored = db.execute("SELECT trained_seconds, bytes FROM rec_versions WHERE active").fetchone()
        row = (seconds, whole, stored, peak() - before)
    print(json.dumps(row))


def in_process(*arguments):
    done = subprocess.run([sys.executable, __file__, "--task", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main(build, *names):
    build, off, n = pathlib.Path(build).resolve(), 0, 0
    print("| set | options | training s | foretold / measured | statement s | f / m | version MB | f / m | memory MB | f / m |\n|---|---|---|---|---|---|---|---|---|---|")
    for name in names or SETS:
        if SETS[name] and not (DATA / SETS[name]).exists():
            print(f"{name}: not there (REC_DATA)")
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "set.db")
            make(name, build, path)
            for options in OPTIONS:
                text = json.dumps(options)
                foretold, measured = in_process(build, path, "foretell", text), in_process(build, path, "measure", text)
                cells = []
                for place, (wanted, got) in enumerate(zip(foretold, measured)):
                    share = wanted / max(got, 1e-9)
                    timed = place > 1 or got >= .05
                    marked = timed and not .5 <= share <= 2
                    off, n = off + marked, n + timed
                    cells += [f"{got:.2f}" if place < 2 else f"{got / 1e6:.1f}", f"{share:.2f}" + (" **" if marked else "")]
                print(f"| {name} | {', '.join(f'{k}={v}' for k, v in options.items())} | {' | '.join(cells)} |", flush=True)
    print(f"{n} figures, {off} off by more than a factor of two")
    return 1 if off > n / 10 else 0


if __name__ == "__main__":
    if sys.argv[1] == "--task":
        task(pathlib.Path(sys.argv[2]), *sys.argv[3:])
    else:
        sys.exit(main(*sys.argv[1:]))
