"""Sessions: Diginetica, RetailRocket, and the example of Serenade.

Protocol (SR-GNN split): every prefix of a test session predicts its next item; P@20 (the share of prefixes whose next item is
in the list) and MRR@20, in percent, over all train items; what was clicked is not removed. A file of train sessions is in the
order of time, so time is a running number. A prefix is a basket= query. The last 5 % of the train sessions are the validation
part: the model learns from the earlier ones, and every prefix of a later one predicts its next item.
Serenade has real times, a validation file (read as its own) and its own published line."""
import gzip, json, os, time

import common

SETS = {"diginetica": "diginetica", "retailrocket": "retailrocket", "serenade": "serenade"}
METRICS = [("hit", "P@20", 2, 100), ("rr", "MRR@20", 2, 100), ("p50", "p50 us", 0, 1e6), ("p99", "p99 us", 0, 1e6)]
GOAL = "hit"
TIMED = 3000

PUBLISHED = {
    "diginetica": [("Item-KNN", 35.75, 11.57), ("NARM", 48.32, 16.00), ("SR-GNN", 50.73, 17.59), ("COTREC", 54.18, 19.07), ("GCE-GNN", 54.22, 19.04),
                   ("SGNN-HN", 55.67, 19.45)],
    "retailrocket": [("SR-GNN", 50.32, 26.57), ("COTREC", 56.17, 29.97)],
    "serenade": [("Serenade's example.toml", 64.02, 32.77), ("Serenade, tuned by its authors", None, 34.01)],
}


def lines(folder, name):
    with gzip.open(os.path.join(folder, name + ".txt.gz"), "rt") as text:
        yield from text


def prefixes(items):
    return ((json.dumps(items[:n]), items[n]) for n in range(1, len(items)))


def load_numbered(db, folder):
    sessions = [list(map(int, line.split())) for line in lines(folder, "train_sessions")]
    kept = len(sessions) * 95 // 100
    now = 0
    for session, items in enumerate(sessions):
        db.executemany("INSERT INTO clicks VALUES(?, ?, ?, ?)", ((session, item, now + i, int(session >= kept)) for i, item in enumerate(items)))
        now += len(items)
        if session >= kept:
            db.executemany("INSERT INTO valid VALUES(?, ?)", prefixes(items))
    for line in lines(folder, "test_pairs"):
        prefix, target = line.rstrip("\n").split("\t")
        db.execute("INSERT INTO test VALUES(?, ?)", (json.dumps(list(map(int, prefix.split()))), int(target)))


def load_timed(db, folder):
    def read(name):
        clicks = [line.split() for line in lines(folder, name)][1:]
        return sorted((int(session), float(when), int(item)) for session, item, when in clicks)

    db.executemany("INSERT INTO clicks VALUES(?, ?, ?, 0)", ((session, item, when) for session, when, item in read("train")))
    for name in ("valid", "test"):
        sessions = {}
        for session, _, item in read(name):
            sessions.setdefault(session, []).append(item)
        for items in sessions.values():
            db.executemany(f"INSERT INTO {name} VALUES(?, ?)", prefixes(items))


def load(db, name, folder):
    """clicks(session, item, t, part): part 1 is the validation; valid and test (basket, target): prefixes and next items."""
    db.executescript("""
        CREATE TABLE clicks(session INTEGER, item INTEGER, t NUMERIC, part INTEGER);
        CREATE TABLE valid(basket TEXT, target INTEGER);
        CREATE TABLE test(basket TEXT, target INTEGER);
        CREATE VIEW fit AS SELECT session, item, t FROM clicks WHERE part = 0;
        CREATE VIEW train AS SELECT session, item, t FROM clicks;""")
    db.execute("BEGIN")
    (load_timed if name == "serenade" else load_numbered)(db, folder)
    db.execute("COMMIT")


def measure(db, name, options, part):
    result = common.train(db, f"events={'fit' if part == 'valid' else 'train'}, user=session, item=item, time=t", options)
    asked = json.dumps({"exclude_seen": False})
    begin = time.perf_counter()
    n, hits, rr = db.execute(f"""
        SELECT count(*), count(m.rank), sum(1.0 / m.rank) FROM {part} p
          LEFT JOIN m ON m.basket = p.basket AND m.k = 20 AND m.options = ? AND m.item = p.target""", (asked,)).fetchone()
    result.update(hit=hits / n, rr=rr / n, predictions=n, judge_s=time.perf_counter() - begin)
    ask = lambda row: db.execute("SELECT item, score FROM m WHERE basket = ? AND k = 20 AND options = ?", (row[0], asked)).fetchall()
    result.update(common.quantiles(ask, db.execute(f"SELECT basket FROM {part} ORDER BY rowid * 7919 % 100003 LIMIT {TIMED}").fetchall()))
    return result
