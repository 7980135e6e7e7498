"""Mutations of every kind of shadow row, with their checksums mended, so that nothing but the checks of the content is in the way.

    shadow_rows.py BUILD [COUNT [SEED]]     COUNT mutations (default 2000); last line: "N passed, N failed"

A file with models of all algorithms and indexes of all structures is made once. A mutation changes one value of one row: a
bit, a number, a length, a piece of a stored version or structure. A new connection then reads and writes with it; whatever it
answers, it must answer, and what it loaded must be gone with it. The work is done in child processes, so that a crash (or what
AddressSanitizer says: `make fuzz` preloads it) is a failure with the mutation that made it."""
import hashlib, json, os, random, sqlite3, subprocess, sys, tempfile

import xxhash

ALGORITHMS = {"popular": "", "item_knn": ", neighbours=5", "ials": ", factors=4, sweeps=2", "bpr": ", factors=4, sweeps=2", "mf": ", factors=3", "ease": "", "slim": "", "graph": "", "user_knn": "", "session_knn": "",
              "repeat": ", variant=tifu, cadence=true", "sequence": ", dim=16, blocks=1, length=4, passes=2, validation=0.5, pause_after=1", "content": ", items=items, item_key=id, item_text=name", "blend": ", models='[{\"algorithm\":\"item_knn\"},{\"algorithm\":\"popular\"}]'"}
ENCODER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "text_encoder")
STRUCTURES = {"exact": "", "HNSW4": "", "IVF2,Flat": "", "PQ2x4": "", "SQ8": "", "IVF2,PQ2x4": "", "PCA2,Flat": ""}
ODD = [None, 0, 1, -1, 2, 7, 255, 1 << 20, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 62), (1 << 63) - 1, -(1 << 63), 1e300, -0.0, float("inf"), "", "x", "1e999", "sqlite_stmt", b"", b"\0" * 16, b"\xff" * 16]


def connect(build, path):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.abspath(os.path.join(build, "recommend")))
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA journal_mode=MEMORY")
    return db


def make(build, path):
    db, draw = connect(build, path), random.Random(1)
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?, ?, ?)", [(draw.randrange(12), draw.randrange(15), draw.randrange(1, 4), draw.randrange(900)) for _ in range(90)])
    db.execute("CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT)")
    db.executemany("INSERT INTO items VALUES(?, ?)", [(i, f"cup {i % 3} pot {i % 5}") for i in range(15)])
    for name, more in ALGORITHMS.items():
        db.execute(f"CREATE VIRTUAL TABLE m_{name} USING rec_model(events=events, user=user, item=item, weight=n, time=t, algorithm={name}{more})")
        db.execute(f"INSERT INTO m_{name}(m_{name}) VALUES('train')")
    for storage in ("float", "int8"):
        db.execute(f"CREATE VIRTUAL TABLE e_{storage} USING rec_encoder(storage={storage})")
        db.execute(f"INSERT INTO e_{storage}(e_{storage}, arg) VALUES('load', ?)", (ENCODER,))
    db.execute("INSERT INTO m_popular(m_popular, arg) VALUES('tune', '{\"trials\": 2}')")
    for name in ("item_knn", "user_knn", "popular"):
        live(db, f"m_{name}")
    for i, (factory, more) in enumerate(STRUCTURES.items()):
        for storage in ("f32", "sq8"):
            name = f"x{i}_{storage}"
            db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_index(e float[4], n integer, s text, metric=l2, storage={storage}, index='{factory}'{more})")
            db.executemany(f"INSERT INTO {name}(rowid, e, n, s) VALUES(?, ?, ?, ?)", [(k, json.dumps([draw.randrange(4) if k % 3 else 0 for _ in range(4)]), k % 5, f"s{k % 3}") for k in range(1, 41)])
            db.execute(f"INSERT INTO {name}({name}) VALUES('optimize')")
            db.execute(f"UPDATE {name} SET n = 9 WHERE rowid = 3")
    db.execute("CREATE TABLE queries(id INTEGER PRIMARY KEY, e)")
    db.execute("INSERT INTO queries(e) VALUES('[1,0,2,3]'), ('[0,0,0,0]')")
    db.close()


def live(db, name):
    """A row of every kind that the life of a model leaves: aliases, an experiment, lists, outcomes, counters, releases."""
    def put(command, **arg):
        db.execute(f"INSERT INTO {name}({name}, arg) VALUES(?, ?)", (command, json.dumps(arg) if arg else None))
    put("train", algorithm="popular", activate="never")
    put("alias", champion=1)
    put("annotate", version=2, tags={"a": 1}, note="n")
    put("experiment", name="x", arms={"a": 1, "b": 2}, guards=["revenue"])
    for user in range(12):
        shown = db.execute(f"SELECT item, rank, version, propensity FROM {name} WHERE user = ? AND k = 3 AND options = '{{\"swap\": 3}}'", (user,)).fetchall()
        put("shown", list=user, user=user, items=[dict(zip(("item", "rank", "version", "propensity"), row)) for row in shown])
        put("shown", list=f"i{user}", user=user, items=[{"item": 1, "rank": 1, "team": "a"}, {"item": 2, "rank": 2, "team": "b"}])
        put("outcome", list=user, item=shown[0][0] if shown else 1, kind="click")
        put("outcome", user=user, kind="purchase", value=3)
    put("flush-stats")
    put("privacy-budget", rho=5)
    put("release", name="r", keys=[1, 2], rho=1)


LIFE = ("SELECT * FROM rec_shown('{0}')", "SELECT * FROM rec_outcomes('{0}')", "SELECT * FROM rec_experiment('{0}')", "SELECT * FROM rec_experiment_users('{0}', 'x')", "SELECT * FROM rec_interleaving('{0}')",
        "SELECT * FROM rec_off_policy('{0}', 'champion', '{{\"least\": 2}}')", "SELECT * FROM rec_position_bias('{0}')", "SELECT * FROM rec_ctr('{0}')", "SELECT * FROM rec_stats_history('{0}')", "SELECT * FROM rec_released('{0}')", "SELECT * FROM rec_ledger('{0}')",
        "SELECT * FROM rec_audit('{0}')", "SELECT rec_audit_verify('{0}')", "SELECT * FROM rec_live_at('{0}', '2040-01-01', 3)", "SELECT * FROM rec_verify_forgotten('{0}', 3, '[1, 2]')", "SELECT * FROM rec_export_user('{0}', 3)", "SELECT * FROM rec_drift('{0}')",
        "SELECT rec_verify('{0}')", "SELECT * FROM rec_explain('{0}', 3, 4)", "SELECT * FROM rec_shadow('{0}', 1, 'champion', '{{\"k\": 3}}')", "SELECT rec_prometheus()", "SELECT * FROM rec_deployments", "INSERT INTO {0}({0}) VALUES('bandit')",
        "INSERT INTO {0}({0}, arg) VALUES('shares', '{{\"shares\": [0.5, 0.5]}}')", "INSERT INTO {0}({0}, arg) VALUES('export', '{{\"version\": 1, \"to\": \"shipped\"}}')", "INSERT INTO {0}({0}, arg) VALUES('forget', 3)", "INSERT INTO {0}({0}, arg) VALUES('release', '{{\"name\": \"s\"}}')",
        "INSERT INTO {0}({0}, arg) VALUES('shown', '{{\"list\": \"new\", \"user\": 1, \"items\": [1]}}')", "INSERT INTO {0}({0}, arg) VALUES('retain', '{{\"days\": 0}}')", "INSERT INTO {0}({0}) VALUES('stop')", "INSERT INTO {0}({0}, arg) VALUES('import', '{{\"from\": \"shipped\"}}')")


def change_bytes(data, draw):
    """One to four bytes or 32-bit numbers changed, cut out, or written twice."""
    data = bytearray(data)
    for _ in range(draw.randrange(1, 5)):
        if not data:
            return bytes(data)
        at, kind = draw.randrange(len(data)), draw.randrange(5)
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at] = draw.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            data[at:at + 4] = draw.choice((0, 1, 2, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)).to_bytes(4, "little")
        elif kind == 3:
            del data[at:at + draw.randrange(1, 9)]
        else:
            data[at:at] = data[at:at + draw.randrange(1, 9)]
    return bytes(data)


def mend_version(db, name, blob, draw):
    """A changed version under the checksum that fits, in the bytes and in the row."""
    steps = json.loads(db.execute(f"SELECT log FROM {name}_versions").fetchone()[0] or "[]")
    step = 32 if any(len(s) > 3 for s in steps) else 24
    tail = blob.rfind(b'{"fingerprint"') - 4  # what it was trained on
    end = (tail if tail > 0 else len(blob)) - len(steps) * step - 16 - 32
    content = change_bytes(blob[:end], draw)
    digest = hashlib.sha256(content).digest()
    db.execute(f"UPDATE {name}_versions SET sha256 = ?, bytes = ?", (digest.hex(), len(content) + len(blob) - end))
    return content + digest + blob[end + 32:]


def mend_encoder(db, name, blob, draw):
    content = change_bytes(blob[:200] if draw.random() < .5 else blob[:-32], draw)  # half of them among the numbers in front
    content += blob[200:-32] if len(content) < 300 else b""
    digest = hashlib.sha256(content).digest()
    db.execute(f"UPDATE {name}_config SET value = ? WHERE key = 'sha256'", (digest.hex(),))
    return content + digest


def mend_segment(blob, draw):
    content = change_bytes(blob[:-16], draw)
    return content + xxhash.xxh3_128_digest(content)


def mutate(db, draw):
    """Change one value; gives (the tables that are concerned, what was done)."""
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' AND (name GLOB 'm_*' OR name GLOB 'x[0-9]*' OR name GLOB 'e_*')")]
    table = draw.choice(tables)
    base = table.rsplit("_", 1)[0]
    rowid, = db.execute(f"SELECT rowid FROM {table} ORDER BY random() LIMIT 1").fetchone() or (None,)
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    column = draw.choice(columns)
    if rowid is None:
        return base, f"{table} is empty"
    value, = db.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (rowid,)).fetchone()
    if table.endswith("_chunks") and column == "data":
        new = mend_version(db, base, value, draw)
    elif table.endswith("_weights") and column == "data":
        new = mend_encoder(db, base, value, draw)
    elif table.endswith("_segment") and column == "data":
        new = mend_segment(value, draw)
    elif isinstance(value, bytes) and draw.random() < .8:
        new = change_bytes(value, draw)
    elif isinstance(value, str) and draw.random() < .6:
        new = change_bytes(value.encode(), draw).decode("utf-8", "replace")
    elif isinstance(value, int) and draw.random() < .4:
        new = value + draw.choice((-1, 1, 1 << 20))
    else:
        new = draw.choice(ODD)
    try:
        db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?", (new, rowid))
    except sqlite3.Error:
        pass
    if not table.endswith("_changes"):
        try:
            db.execute(f"UPDATE {base}_changes SET stamp = randomblob(16) WHERE seq = (SELECT max(seq) FROM {base}_changes)")
        except sqlite3.Error:
            pass
    return base, f"{table}.{column} of {rowid}: {str(value)[:60]!r} -> {str(new)[:60]!r}"


def use(db, name):
    if name.startswith("m_"):
        statements = [f"SELECT item, score, because FROM {name} WHERE user = 3 AND k = 4", f"SELECT item FROM {name} WHERE similar_to = 4 AND k = 3", f"SELECT item FROM {name} WHERE basket = '[1, 2, 99]' AND k = 3",
                      f"SELECT user, item FROM {name} WHERE k = 2", "SELECT * FROM rec_versions", "SELECT * FROM rec_models", "SELECT * FROM rec_trials", f"SELECT count(*) FROM rec_item_vectors('{name}')",
                      f"INSERT INTO {name}({name}) VALUES('integrity-check')", f"INSERT INTO {name}({name}) VALUES('train')", f"SELECT item FROM {name}(3, 3)"]
        if name == "m_sequence":  # where it paused
            statements.insert(0, f"INSERT INTO {name}({name}, arg) VALUES('train', '{{\"init_from\": 1}}')")
        statements += [question.format(name) for question in LIFE]
    elif name.startswith("e_"):
        statements = [f"SELECT * FROM {name}", f"SELECT rec_embed('{name}', 'Hanging heart lantern, two cats')", f"SELECT count(*) FROM rec_text_vectors('{name}', 'items', 'id', 'name')",
                      f"INSERT INTO {name}({name}) VALUES('integrity-check')", f"INSERT INTO {name}({name}, arg) VALUES('load', '{ENCODER}')", f"SELECT rec_embed('{name}', '')"]
    else:
        statements = [f"SELECT rowid, score, s FROM {name} WHERE e MATCH '[1,0,2,3]' AND k = 5", f"SELECT rowid FROM {name} WHERE e MATCH '[0,0,0,0]' AND k = 9 AND n IN (1, 2, 9) AND s >= 's1'", f"SELECT rowid, e FROM {name} WHERE similar_to = 7 AND k = 3",
                      f"SELECT count(*) FROM {name}", f"SELECT * FROM rec_search('{name}', 'queries', 'id', 'e', 3)", "SELECT * FROM rec_indexes", f"INSERT INTO {name}({name}) VALUES('integrity-check')",
                      f"INSERT INTO {name}(rowid, e, n) VALUES(77, '[1,1,1,1]', 1)", f"UPDATE {name} SET e = '[2,2,2,2]' WHERE rowid = 5", f"DELETE FROM {name} WHERE rowid = 6", f"INSERT INTO {name}({name}) VALUES('optimize')", f"SELECT rowid FROM {name}('[1,1,1,1]', 2)"]
    for sql in statements:
        try:
            db.execute(sql).fetchall()
        except (sqlite3.Error, UnicodeDecodeError, MemoryError):
            pass


def work(build, path, count, seed):
    draw = random.Random(seed)
    plain = sqlite3.connect(path, isolation_level=None)
    plain.execute("PRAGMA synchronous=OFF")
    plain.execute("PRAGMA journal_mode=OFF")
    whole = plain.serialize() if hasattr(plain, "serialize") else open(path, "rb").read()
    plain.close()
    for _ in range(count):
        with open(path, "wb") as file:
            file.write(whole)
        plain = sqlite3.connect(path, isolation_level=None)
        plain.execute("PRAGMA synchronous=OFF")
        plain.execute("PRAGMA journal_mode=OFF")
        base, what = mutate(plain, draw)
        plain.close()
        print(what, flush=True)
        db = connect(build, path)
        use(db, base)
        db.close()


def main(build, count=2000, seed=1):
    done = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "whole.db")
        make(build, path)
        pieces = [(os.path.join(folder, f"{i}.db"), seed * 1000 + i) for i in range(os.cpu_count() or 1)]
        running = []
        for own, own_seed in pieces:
            with open(path, "rb") as source, open(own, "wb") as target:
                target.write(source.read())
            log = open(own + ".log", "w+")
            running.append((subprocess.Popen([sys.executable, __file__, "--work", build, own, str(count // len(pieces)), str(own_seed)], stdout=log, stderr=subprocess.PIPE, text=True), log))
        for process, log in running:
            _, errors = process.communicate()
            log.seek(0)
            lines = log.read().splitlines()
            done += len(lines)
            if process.returncode or "runtime error:" in errors or "AddressSanitizer" in errors:
                failed += 1
                print(f"FAIL code {process.returncode} after {len(lines)} mutations, the last: {lines[-1] if lines else '-'}\n{errors[:6000]}")
    print(f"{done - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
