"""What all tables of `make accuracy` share: the connection, training through SQL, and one process for each measurement."""
import json, os, resource, sqlite3, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))


def connect(path, extension):
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.enable_load_extension(True)
    db.load_extension(os.path.splitext(os.path.abspath(extension))[0])
    db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536")
    return db


def train(db, columns, options):
    """Makes the model m: wall seconds of CREATE and 'train' (reading, computing, storing) and the bytes stored."""
    db.execute("DROP TABLE IF EXISTS m")
    begin = time.perf_counter()
    db.execute(f"CREATE VIRTUAL TABLE m USING rec_model({columns})")
    db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps(options),))
    seconds = time.perf_counter() - begin
    return {"train_s": seconds, "bytes": db.execute("SELECT bytes FROM rec_versions WHERE model = 'm'").fetchone()[0]}


def evaluate(db, holdout, k, **options):
    """rec_evaluate's means for m as "metric@k", and the seconds it took."""
    begin = time.perf_counter()
    rows = db.execute("SELECT metric || '@' || k, value, users FROM rec_evaluate('m', ?, ?) WHERE model = 'm'",
                      (holdout, json.dumps({"k": k, "bootstrap": 0, **options}))).fetchall()
    return {**{metric: value for metric, value, _ in rows}, "users": rows[0][2], "judge_s": time.perf_counter() - begin}


def quantiles(function, arguments):
    """(p50, p99) of the seconds of one call."""
    times = []
    for argument in arguments:
        begin = time.perf_counter()
        function(argument)
        times.append(time.perf_counter() - begin)
    times.sort()
    return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}


def in_process(task, *arguments):
    """Runs `task` of the modules below in a process of its own: what it returns, and the most memory it had."""
    script = os.path.join(HERE, "run.py")
    done = subprocess.run([sys.executable, script, "--task", task, json.dumps(arguments)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def answer(result):
    result = {**(result or {}), "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    print(json.dumps(result))
