"""make bench-index: rec_index against its peers and the linked FAISS, in one run; Markdown on stdout, progress on stderr.

    index.py BUILD          in the environment:
      SIZE=100k,1m,real     which data (all): made clusters of two sizes, and item factors of REC_DATA's gowalla and yelp2018
                            (without REC_DATA, of the sample)
      SECTION=exact,ann,filters,batch,life    which sections (all)
      METRIC=l2|cosine      of the made data (l2)
      FULL=1                builds with one thread at a million rows, too (ten minutes more)
      KEEP=1                leave the files in BUILD/bench-index

Peers come from PyPI into BUILD/peers; what is missing is said in the tables. One query at a time runs on one thread, batches
and builds on two where nothing else is said. Figures are medians of rounds in which the contenders take turns."""
import os, platform, shutil, sqlite3, subprocess, sys, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
import index_data, index_peers
from index_data import BATCH, K, QUERIES
from index_peers import Commits, FaissCpu, Missing, Ours, Process, Rebuilt, SqliteAi, SqliteVec, Table, Vec1, Vectorlite, connect, insert

BUILD = os.path.abspath(sys.argv[1])
FOLDER, RAW = os.path.join(BUILD, "bench-index"), os.path.join(BUILD, "tests", "index_raw")
index_peers.EXTENSION, index_peers.PEERS = os.path.join(BUILD, "recommend"), os.path.join(BUILD, "peers")
EF = (10, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512, 768, 1024, 1536, 2048)
NPROBE = (1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 192, 256)
GOALS = (.95, .99)
FALLBACK = {"ef": ("ef", 64), "nprobe": ("nprobe", 8)}  # shown beside the goals, and used where none is reached
START = time.perf_counter()
counts = {"ok": 0, "MISSES": 0, "missing": 0}


# ---- what is printed

def progress(text):
    print(f"[{time.perf_counter() - START:6.0f} s] {text}", file=sys.stderr, flush=True)


def table(*rows):
    """The first row is the header."""
    print()
    for i, row in enumerate(rows):
        print("| " + " | ".join(map(str, row)) + " |")
        if i == 0:
            print("|" + "---|" * len(row))
    sys.stdout.flush()


def target(what, measured, ok):
    """A line of a table of targets; ok None: could not be measured."""
    verdict = "missing" if ok is None else "ok" if ok else "MISSES"
    counts[verdict] += 1
    return what, measured, verdict


def targets(rows):
    table(("target", "measured", ""), *rows)


def ms(microseconds):
    return f"{microseconds / 1000:.3f}"


def attempt(function, *args):
    """The value, or the Missing."""
    try:
        return function(*args)
    except Missing as problem:
        progress(f"missing: {problem}")
        return problem


def is_missing(*values):
    return next((v for v in values if isinstance(v, Missing)), None)


# ---- the C program, and the tables and structures that are measured

def raw(what, *args, threads=1):
    """Runs index_raw; the lines it prints, split."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    done = subprocess.run([RAW, what, f"extension={index_peers.EXTENSION}", *args], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Missing(done.stderr.strip() or f"index_raw {what} ended with {done.returncode}")
    return [line.split() for line in done.stdout.splitlines()]


class Bed:
    """What the sections of one data set share; everything is made once, when it is first asked for."""

    def __init__(self, data):
        self.data, self.made = data, {}
        self.inverted = f"IVF{1024 if data.n >= 40_000 else 64},Flat"
        self.structures = {"HNSW32": ("ef", EF), self.inverted: ("nprobe", NPROBE)}

    def once(self, key, make):
        if key not in self.made:
            progress(f"{self.data.name}: {' '.join(map(str, key))}")
            self.made[key] = attempt(make)
        if isinstance(self.made[key], Missing):
            raise self.made[key]
        return self.made[key]

    def path(self, kind, name):
        return os.path.join(self.data.folder, f"{kind}-{name.replace(',', '-')}")

    def ours(self, index, storage="f32"):
        """(path, seconds of the inserts, seconds of the build, bytes)."""
        path = self.path("ours", f"{index}-{storage}.db")

        def make():
            process = Process(Table, self.data, path, index, storage, 2, limit=1800)
            process.result()
            out = path, process.call("insert"), process.call("build"), process.call("bytes")
            process.close()
            return out
        return self.once(("rec_index", index, storage), make)

    def build_raw(self, factory, threads, *more):
        metric = "l2" if self.data.metric == "l2" else "ip"
        return float(raw("build", f"factory={factory}", f"metric={metric}", f"dim={self.data.dim}", f"rows={self.data.rows_file}",
                         *more, threads=threads)[0][1])

    def faiss(self, factory):
        """(path, seconds of training and adding)."""
        path = self.path("faiss", factory)
        return self.once(("linked FAISS", factory), lambda: (path, self.build_raw(factory, 2, f"index={path}")))

    def peer(self, make, *args):
        """A peer in its process, built."""
        def start():
            process = Process(make, self.data, *args)
            process.result()
            return process
        return self.once((make.name,) + args, start)

    def search(self, settings, count, rounds, *contenders):
        """index_raw search: {(who, setting): (p50, p99, recall)}."""
        out = os.path.join(self.data.folder, "ids")
        lines = raw("search", f"dim={self.data.dim}", f"k={K}", f"queries={self.data.queries_file}", f"count={count}",
                    f"rounds={rounds}", f"out={out}", *contenders, *(f"set={name}:{value}" for name, value in settings))
        figures = {}
        for who, setting, p50, p99 in lines:
            ids = np.fromfile(f"{out}.{who}.{setting}", int).reshape(-1, K) if who != "read" else None
            figures[who, setting] = float(p50), float(p99), index_data.recall(ids, self.data.truth) if ids is not None else 0
        return figures

    def chosen(self, structure):
        """{goal: (name, value)}: the least setting that reaches each goal, by our recall, or FAISS's where ours is missing."""
        def sweep():
            name, ladder = self.structures[structure]
            ours = attempt(self.ours, structure)
            contenders = [f"index={self.faiss(structure)[0]}"] if is_missing(ours) else [f"db={ours[0]}"]
            goals = {}
            for part in (ladder[:8], ladder[8:15], ladder[15:20], ladder[20:]):
                if len(goals) < len(GOALS) and part:
                    figures = self.search([(name, value) for value in part], QUERIES, 1, *contenders)
                    for value, (_, _, got) in zip(part, figures.values()):
                        for goal in GOALS:
                            if got >= goal:
                                goals.setdefault(goal, (name, value))
            return goals
        return self.once(("settings of", structure), sweep)

    def close(self):
        for thing in self.made.values():
            if isinstance(thing, Process):
                thing.close()
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.data.folder)


# ---- the sections

def exact(bed):
    print("\nExact search. One pass is one core's read of all vectors, in turns with the searches.")
    rows, made = [("engine", "p50 ms", "p99 ms", "recall@10", "insert s")], []
    for storage in ("f32", "f16", "sq8"):
        made.append((storage, attempt(bed.ours, "exact", storage)))
    there = [(s, o) for s, o in made if not is_missing(o)]
    flat, count = bed.faiss("Flat")[0], 1000 if bed.data.n < 20_000 else 200 if bed.data.n < 200_000 else 50
    figures = bed.search([], count, 5, *(f"db={o[0]}" for _, o in there), f"index={flat}", f"read={bed.data.rows_file}")
    at = {s: figures[f"ours{i}", "-"] for i, (s, _) in enumerate(there)}
    for storage, ours in made:
        text = (ours, "", "", "") if is_missing(ours) else (ms(at[storage][0]), ms(at[storage][1]), f"{at[storage][2]:.4f}", f"{ours[1]:.1f}")
        rows.append((f"rec_index, storage={storage}, from C",) + text)
    rows.append(("linked FAISS, Flat, from C", ms(figures["raw", "-"][0]), ms(figures["raw", "-"][1]), f"{figures['raw', '-'][2]:.4f}", ""))
    rows.append(("one pass", ms(figures["read", "-"][0]), ms(figures["read", "-"][1]), "", ""))
    python = attempt(lambda: bed.peer(Ours, there[0][1][0]).call("figures"))
    rows.append(peer_row("rec_index, storage=f32", python, there[0][1][1]))
    peers = {}
    for name, make, args in (("sqlite-vec", SqliteVec, ()), ("vec1, flat", Vec1, (0,)), ("sqliteai-vector, full scan", SqliteAi, (False,)),
                             ("faiss-cpu, Flat, no SQL", FaissCpu, (flat,))):
        process = attempt(bed.peer, make, *args)
        peers[make] = process if is_missing(process) else attempt(process.call, "figures")
        rows.append(peer_row(name, peers[make], "" if is_missing(process) or make is FaissCpu else process.call("build")))
        if make is not FaissCpu and not is_missing(process):
            process.close()
    table(*rows)
    out, f32, read = [], at["f32"][0], figures["read", "-"][0]
    bad = is_missing(python, peers[SqliteVec])
    share = None if bad else python.p50 / peers[SqliteVec].p50
    out.append(target("exact <= 1/5 of sqlite-vec's time", bad or f"{share:.3f}", None if bad else share <= .2))
    out.append(target("exact <= 1.3 x one pass", f"{f32 / read:.2f} x", f32 <= 1.3 * read))
    for storage in ("f16", "sq8"):
        if storage in at:
            p50, _, got = at[storage]
            out.append(target(f"storage={storage}: recall >= .99 and faster than f32", f"{got:.4f}, {p50 / f32:.2f} x f32's time", got >= .99 and p50 < f32))
        else:
            out.append(target(f"storage={storage}: recall >= .99 and faster than f32", dict(made)[storage], None))
    targets(out)


def peer_row(name, figures, build):
    if is_missing(figures):
        return f"{name}, from Python", figures, "", "", ""
    return f"{name}, from Python", ms(figures.p50), ms(figures.p99), f"{figures.recall:.4f}", f"{build:.1f}" if build != "" else ""


def ann(bed):
    print("\nApproximate search from C: ours by a prepared statement, FAISS by its C API, the same kernels, in turns.")
    rows = [("structure", "setting", "recall ours / FAISS", "p50 us ours / FAISS", "p99 us ours / FAISS", "overhead")]
    out = []
    for structure, (name, _) in bed.structures.items():
        ours, theirs = attempt(bed.ours, structure), bed.faiss(structure)
        goals = bed.chosen(structure)
        settings = sorted(set(goals.values()) | {FALLBACK[name]})
        contenders = [f"index={theirs[0]}"] + ([] if is_missing(ours) else [f"db={ours[0]}"])
        figures = bed.search(settings, QUERIES, 5, *contenders)
        for setting in settings:
            label = f"{setting[0]} {setting[1]}" + "".join(f", first at {goal:g}" for goal in GOALS if goals.get(goal) == setting)
            theirs_at = figures["raw", f"{setting[0]}:{setting[1]}"]
            if is_missing(ours):
                rows.append((structure, label, f"missing / {theirs_at[2]:.3f}", f"missing / {theirs_at[0]:.0f}", f"missing / {theirs_at[1]:.0f}", ours))
                out.append(target(f"{structure} {label}: overhead <= max(15 %, 15 us), recall not .01 below", ours, None))
                continue
            ours_at = figures["ours0", f"{setting[0]}:{setting[1]}"]
            more = ours_at[0] - theirs_at[0]
            rows.append((structure, label) + tuple(f"{a:{f}} / {b:{f}}" for a, b, f in
                        ((ours_at[2], theirs_at[2], ".3f"), (ours_at[0], theirs_at[0], ".0f"), (ours_at[1], theirs_at[1], ".0f")))
                        + (f"{more:+.0f} us, {more / theirs_at[0]:+.0%}",))
            out.append(target(f"{structure} {label}: overhead <= max(15 %, 15 us), recall not .01 below",
                              f"{more:+.0f} us, {more / theirs_at[0]:+.0%}, recall {ours_at[2] - theirs_at[2]:+.3f}",
                              more <= max(.15 * theirs_at[0], 15) and ours_at[2] >= theirs_at[2] - .01))
        for goal in GOALS:
            if goal not in goals:
                rows.append((structure, f"recall {goal:g}", "not reached by the ladder", "", "", ""))
    table(*rows)
    builds(bed)
    out += against_peers(bed)
    targets(out)


def builds(bed):
    """With two threads each has the machine to itself. With one thread both build at once, each on a core."""
    rows = [("structure", "threads", "ours s", "linked FAISS s", "ratio")]
    for structure in bed.structures:
        ours, theirs = attempt(bed.ours, structure), bed.faiss(structure)
        rows.append((structure, 2, ours, f"{theirs[1]:.1f}", "") if is_missing(ours) else
                    (structure, 2, f"{ours[2]:.1f}", f"{theirs[1]:.1f}", f"{ours[2] / theirs[1]:.2f}"))
        if is_missing(ours):
            continue
        if bed.data.n > 200_000 and not os.environ.get("FULL"):
            rows.append((structure, 1, "not run without FULL=1", "", ""))
            continue
        progress(f"{bed.data.name}: {structure}, builds with one thread, side by side")
        process = Process(Rebuilt, ours[0], limit=3600)
        process.pipe.send(("command", ("rebuild", 1)))
        theirs_one = bed.build_raw(structure, 1)
        process.result()
        ours_one = process.result()
        process.close()
        rows.append((structure, "1, side by side", f"{ours_one:.1f}", f"{theirs_one:.1f}", f"{ours_one / theirs_one:.2f}"))
    print("\nBuilding: `optimize` and `rebuild` with what they read and store, against train and add in memory.")
    table(*rows)


def vectorlites(bed):
    """As it comes, and with the links and the construction of FAISS's HNSW32."""
    return [(f"vectorlite, M={m}, ef_construction={c}", attempt(bed.peer, Vectorlite, m, c)) for m, c in ((16, 200), (32, 40))]


def against_peers(bed):
    print("\nApproximate search from Python's sqlite3, at the least setting that reaches the recall; what never does is shown at its largest.")
    rows, out = [("engine", "build s", "setting", "recall@10", "p50 us", "p99 us", "rec_index HNSW32 in turns: setting, recall, p50 us")], []
    ours, goals = attempt(bed.ours, "HNSW32"), bed.chosen("HNSW32")
    best = {}
    for name, process in vectorlites(bed):
        if is_missing(process):
            rows.append((name, process, "", "", "", "", ""))
            continue
        settings, last = process.call("sweep", EF, GOALS)
        for goal in GOALS:
            build, setting = f"{process.call('build'):.1f}", settings.get(goal, last[0])
            if goal not in settings or goal not in goals:
                at, theirs = "not reached" if goal not in goals else "", process.call("figures", setting)
            else:
                theirs, mine = process.call("duel", setting, ours[0], goals[goal])
                at = f"ef {goals[goal][1]}, {mine.recall:.3f}, {mine.p50:.0f}"
                best.setdefault(goal, []).append((mine.p50 / theirs.p50, name))
            rows.append((name, build, f"ef {setting}", f"{theirs.recall:.3f}", f"{theirs.p50:.0f}", f"{theirs.p99:.0f}", at))
    for goal in GOALS:
        worst = max(best.get(goal, []), default=None)
        if worst:
            measured, ok = f"{worst[0]:.2f} x the time of {worst[1]}", worst[0] <= 1
        else:
            measured, ok = ("vectorlite does not reach it", None) if goal in goals else ("rec_index does not reach it", False)
        out.append(target(f"HNSW32 at recall {goal:g}: not slower than vectorlite", measured, ok))
    graph, inverted = bed.faiss("HNSW32")[0], bed.faiss(bed.inverted)[0]
    buckets = max(32, int(bed.data.n ** .5))
    others = ((f"vec1, {buckets} buckets, codesize 0", Vec1, (buckets,), NPROBE), ("sqliteai-vector, quantized scan", SqliteAi, (True,), (0,)),
              ("faiss-cpu, HNSW32, no SQL", FaissCpu, (graph,), EF), (f"faiss-cpu, {bed.inverted}, no SQL", FaissCpu, (inverted,), NPROBE))
    for name, make, args, ladder in others:
        rows += peer_at_goals(name, attempt(bed.peer, make, *args), ladder)
    table(*rows)
    return out


def peer_at_goals(name, process, ladder):
    if is_missing(process):
        return [(name, process, "", "", "", "", "")]
    found = attempt(process.call, "sweep", ladder, GOALS)
    if is_missing(found):
        return [(name, found, "", "", "", "", "")]
    build = "reads the linked one's" if name.startswith("faiss") else f"{process.call('build'):.1f}"
    rows = []
    for setting in sorted(set(found[0].values()) or {found[1][0]}):
        at = process.call("figures", setting)
        rows.append((name, build, setting or "none", f"{at.recall:.3f}", f"{at.p50:.0f}", f"{at.p99:.0f}", ""))
    return rows


def filters(bed):
    print("\nFilters on a metadata column; us, p50. In turns: the index, the same filter on index=exact, and NumPy (the comparison, a gather of the "
          "matching rows, a product, argpartition).")
    rows, out = [("rows that match", "engine", "setting", "recall@10", "rows, least", "p50 us", "index=exact us", "NumPy us")], []
    plain = attempt(bed.ours, "exact")
    chosen = {s: attempt(bed.chosen, s) for s in bed.structures}
    for where in bed.data.filters(200):
        progress(f"{bed.data.name}: filter {where.label}")
        for structure in bed.structures:
            ours = attempt(bed.ours, structure)
            bad = is_missing(ours, plain, chosen[structure])
            if bad:
                rows.append((where.label, f"rec_index {structure}", bad, "", "", "", "", ""))
                out.append(target(f"{where.label}, {structure}: recall >= .95, k rows, not slower than exact", bad, None))
                continue
            process = bed.peer(Ours, ours[0], plain[0])
            for setting in [None] + list(chosen[structure].values()):
                mine, exact_one, naive = process.call("against_exact", where, setting)
                if mine.recall >= .95:
                    break
            label = f"{setting[0]} {setting[1]}" if setting else "default"
            rows.append((where.label, f"rec_index {structure}", label, f"{mine.recall:.3f}", mine.fewest, f"{mine.p50:.0f}", f"{exact_one.p50:.0f}", f"{naive.p50:.0f}"))
            out.append(target(f"{where.label}, {structure}: recall >= .95, k rows", f"{mine.recall:.3f}, {mine.fewest} rows", mine.recall >= .95 and mine.fewest == K))
            out.append(target(f"{where.label}, {structure}: time <= index=exact's (and 10 % for noise) and NumPy's",
                              f"{mine.p50 / exact_one.p50:.2f} x, {mine.p50 / naive.p50:.2f} x", mine.p50 <= 1.1 * exact_one.p50 and mine.p50 <= naive.p50))
        rows += filtered_peers(bed, where)
    table(*rows)
    targets(out)


def filtered_peers(bed, where):
    peers = [("sqlite-vec", attempt(bed.peer, SqliteVec, True), None), ("faiss-cpu, HNSW32, selector, ef 64", attempt(bed.peer, FaissCpu, bed.faiss("HNSW32")[0]), 64)]
    buckets = max(32, int(bed.data.n ** .5))
    peers.append(("vec1, nprobe 32", attempt(bed.peer, Vec1, buckets), 32))
    name, process = "vectorlite, M=32, ef_construction=40", attempt(bed.peer, Vectorlite, 32, 40)
    if not is_missing(process):
        bed.once(("columns beside", "vectorlite"), lambda: process.call("prepare_filters"))
    peers.append((f"{name}, ef 64", process, 64))
    rows = []
    for name, process, setting in peers:
        figures = process if is_missing(process) else attempt(process.call, "figures", setting, where)
        rows.append((where.label, name, figures, "", "", "", "", "") if is_missing(figures) else
                    (where.label, name, setting or "", f"{figures.recall:.3f}", figures.fewest, f"{figures.p50:.0f}", "", ""))
    return rows


def batch(bed):
    print("\nA batch inside one statement, `SELECT sum(score) FROM rec_search(...)`, against one call of FAISS; two threads, in turns.")
    rows, out = [("structure", "queries", "setting", "recall ours", "ours, queries/s", "linked FAISS", "faiss-cpu", "share")], []
    for index, structure in (("exact", "Flat"), ("HNSW32", "HNSW32"), (bed.inverted, bed.inverted)):
        ours, theirs = attempt(bed.ours, index), bed.faiss(structure)
        few = index == "exact" and bed.data.n > 200_000
        count, rounds = (2 * QUERIES, 1) if few else (BATCH, 3)
        setting = bed.chosen(structure).get(.95, FALLBACK[bed.structures[structure][0]]) if structure in bed.structures else None
        options = f", '{{\"{setting[0]}\":{setting[1]}}}'" if setting else ""
        arguments = [f"dim={bed.data.dim}", f"k={K}", f"queries={bed.data.queries_file}", f"count={count}", f"rounds={rounds}", f"index={theirs[0]}"]
        if setting:
            arguments.append(f"set={setting[0]}:{setting[1]}")
        if not is_missing(ours):
            arguments += [f"db={ours[0]}", f"sql=SELECT sum(score) FROM rec_search('t', '{'some' if few else 'asked'}', 'id', 'v', {K}{options})"]
        progress(f"{bed.data.name}: batch of {count:,}, {index}")
        seconds = attempt(lambda: {who: float(s) for who, s in raw("batch", *arguments, threads=2)})
        peer = attempt(lambda: bed.peer(FaissCpu, theirs[0]).call("batch", setting[1] if setting else None, 2, count))
        bad = is_missing(ours, seconds)
        label = f"{setting[0]} {setting[1]}" if setting else ""
        rate = lambda s: s if is_missing(s) else f"{count / s:,.0f}"
        if bad:
            rows.append((index, f"{count:,}", label, "", bad, rate(seconds["raw"]) if not is_missing(seconds) else "", rate(peer), ""))
            out.append(target(f"{index}: batch >= .9 of FAISS's throughput", bad, None))
            continue
        share, got = seconds["raw"] / seconds["ours"], batch_recall(bed.data, ours[0], options)
        rows.append((index, f"{count:,}", label, f"{got:.3f}", rate(seconds["ours"]), rate(seconds["raw"]), rate(peer), f"{share:.2f}"))
        out.append(target(f"{index}: batch >= .9 of FAISS's throughput", f"{share:.2f}, recall {got:.3f}", share >= .9 and got >= (.94 if setting else .999)))
    table(*rows)
    targets(out)


def batch_recall(data, path, options):
    """Of the first queries, by the same statement with its rows."""
    found = [[] for _ in range(QUERIES)]
    for asker, row in connect(path).execute(f"SELECT id, rowid FROM rec_search('t', 'first', 'id', 'v', {K}{options})"):
        found[asker - 1].append(row)
    return index_data.recall(found, data.truth)


def life(bed):
    print("\nLife of an index: commits of one row (WAL, synchronous=off, no checkpoint), opening with a warm page cache, memory.")
    rows, out = [("index", "file MB", "commit KB, median / most", "commit ms, median / most", "first search after, ms", "open to answer s", "plain SELECT s",
                  "RSS MB, 1 / 8 connections", "PSS MB")], []
    plain = bed.once(("plain table",), lambda: plain_table(bed))
    for index in ("exact", "HNSW32"):
        ours = attempt(bed.ours, index)
        bad = is_missing(ours)
        if bad:
            rows.append((index, bad) + ("",) * 7)
            continue
        progress(f"{bed.data.name}: commits, opening and memory of {index}")
        kilobytes, times, after = Process(Commits, bed.data, ours[0]).result_of("run")
        opening, reading = cold(bed, ours[0], plain)
        one, eight = memory(ours[0], bed.data, 1), memory(ours[0], bed.data, 8)
        rows.append((index, f"{ours[3] / 1e6:.0f}", f"{np.median(kilobytes):.1f} / {max(kilobytes):.1f}", f"{np.median(times):.2f} / {max(times):.2f}", f"{after:.2f}",
                     f"{opening:.2f}", f"{reading:.2f}", f"{one[0]:.0f} / {eight[0]:.0f}", f"{one[1]:.0f} / {eight[1]:.0f}"))
        out.append(target(f"{index}: a commit writes <= 64 KB, takes <= 3 ms", f"{np.median(kilobytes):.1f} KB, {np.median(times):.2f} ms",
                          np.median(kilobytes) <= 64 and np.median(times) <= 3))
        out.append(target(f"{index}: open to first answer <= 1.5 x the SELECT", f"{opening / reading:.2f} x", opening <= 1.5 * reading))
        out.append(target(f"{index}: eight connections <= 1.1 x one's memory", f"{eight[0] / one[0]:.2f} x RSS, {eight[1] / one[1]:.2f} x PSS",
                          eight[0] <= 1.1 * one[0] and eight[1] <= 1.1 * one[1]))
    table(*rows)
    targets(out)


def plain_table(bed):
    path = bed.path("plain", "rows.db")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL").fetchall()
    db.execute("CREATE TABLE plain(id INTEGER PRIMARY KEY, e BLOB)")
    insert(db, "INSERT INTO plain VALUES(?, ?)", ((i, row.tobytes()) for i, row in enumerate(bed.data.rows, 1)), bed.data.n)
    db.close()
    return path


def cold(bed, ours, plain):
    """Seconds of a fresh process each, in turns: open and answer one query; open and read the same rows by SELECT."""
    ask = (f"db={ours}", "sql=SELECT rowid, score FROM t WHERE e MATCH ?1 AND k = 10", f"queries={bed.data.queries_file}", f"dim={bed.data.dim}")
    read = (f"db={plain}", "sql=SELECT id, e FROM plain")
    times = [[float(raw("open", *arguments)[0][1]) for arguments in (ask, read)] for _ in range(4)][1:]  # the first fills the page cache
    return [float(x) for x in np.median(times, axis=0)]


MEMORY = """
import sqlite3, sys
path, extension, n, dim = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
connections = [sqlite3.connect(path) for _ in range(n)]
for db in connections:
    db.enable_load_extension(True)
    db.load_extension(extension)
    db.execute("SELECT rowid FROM t WHERE e MATCH zeroblob(?) AND k = 10", (4 * dim,)).fetchall()
fields = dict(line.split()[:2] for line in list(open("/proc/self/smaps_rollup"))[1:])
print(int(fields["Rss:"]) / 1024, int(fields["Pss:"]) / 1024)
"""


def memory(path, data, n):
    """(RSS, PSS) in MB of a process with n connections, each of which has searched."""
    command = [sys.executable, "-c", MEMORY, path, index_peers.EXTENSION, str(n), str(data.dim)]
    return [float(x) for x in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


# ---- the run

def install():
    """Each once; NumPy stays Debian's."""
    os.makedirs(index_peers.PEERS, exist_ok=True)
    for package, folder in (("sqlite-vec", "sqlite_vec"), ("vectorlite-py", "vectorlite_py"), ("sqliteai-vector", "sqlite_vector"), ("apsw", "apsw"),
                            ("faiss-cpu", "faiss"), ("packaging", "packaging")):
        if not os.path.isdir(os.path.join(index_peers.PEERS, folder)):
            progress(f"pip install {package}")
            subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", index_peers.PEERS, package], capture_output=True)


def header(names):
    with open("/proc/cpuinfo") as info:
        cpu = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    facts = dict(connect().execute("SELECT key, value FROM rec_info"))
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip() or "unknown"
    versions = ", ".join(f"{p} {index_peers.installed(f)}" for p, f in (("sqlite-vec", "sqlite_vec"), ("vectorlite-py", "vectorlite_py"),
                         ("sqliteai-vector", "sqliteai_vector"), ("apsw (vec1)", "apsw"), ("faiss-cpu", "faiss_cpu")))
    settings = " ".join(f"{key}={os.environ[key]}" for key in ("SIZE", "SECTION", "METRIC", "FULL") if os.environ.get(key))
    print(f"## rec_index against its peers: `make bench-index{' ' + settings if settings else ''}`\n")
    print(f"{os.cpu_count()} x {cpu}, kernels {facts['simd']}; {platform.release()}, load {os.getloadavg()[0]:.1f} at the start; "
          f"{time.strftime('%Y-%m-%d')}, commit {commit}.\nSQLite {facts['sqlite']}, linked FAISS {facts['faiss']}, NumPy {np.__version__}, "
          f"Python {platform.python_version()}; {versions}. k = {K}; {QUERIES:,} queries.", flush=True)


def data_sets(sizes):
    """Data objects, one at a time: they are large."""
    for size in sizes:
        if size in ("100k", "1m"):
            progress(f"{size}: vectors and true neighbours")
            yield index_data.made(size, {"100k": 100_000, "1m": 1_000_000}[size], os.environ.get("METRIC") or "l2", os.path.join(FOLDER, size))
            continue
        root = os.environ.get("REC_DATA", "")
        sets = [(name, index_data.read_pairs(path)) for name in ("gowalla", "yelp2018") if os.path.exists(path := os.path.join(root, name, "train.txt.gz"))]
        sample = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "online_retail.csv.gz")
        for name, pairs in sets or [("online-retail", index_data.retail_pairs(sample))]:
            progress(f"{name}: item factors, users' vectors and true neighbours")
            yield index_data.learned(name, pairs, connect, os.path.join(FOLDER, name))


def main():
    sections = {"exact": exact, "ann": ann, "filters": filters, "batch": batch, "life": life}
    sizes, names = (os.environ.get("SIZE") or "100k,1m,real").split(","), (os.environ.get("SECTION") or ",".join(sections)).split(",")
    if set(sizes) - {"100k", "1m", "real"} or set(names) - set(sections):
        sys.exit(f"SIZE=100k,1m,real SECTION={','.join(sections)}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    install()
    header(names)
    for data in data_sets(sizes):
        bed = Bed(data)
        print(f"\n### {data.title}")
        for name in names:
            problem = attempt(sections[name], bed)
            if is_missing(problem):
                print(f"\n{name}: missing: {problem}")
        bed.close()
    print(f"\n{counts['ok']} ok, {counts['MISSES']} MISSES, {counts['missing']} missing; {(time.perf_counter() - START) / 60:.0f} minutes.")


main()
