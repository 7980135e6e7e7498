#!/usr/bin/python3
"""A training pass of `sequence` beside the same model in PyTorch, and lists by it: `REC_DATA=DIR make bench-sequence`.

    sequence.py BUILD [pass] [lists]

Beauty (REC_DATA/amazon-sequences), all but the last two items of a user, two threads each. The model in PyTorch has the same
layers, dropout, batch of 64 sequences (padded to the longest of the batch, with a mask), shared sampled candidates with the same
correction, and torch.optim.Adam over everything; Debian's python3-torch. Contenders take turns; the median of ROUNDS passes."""
import gzip, json, math, os, random, sqlite3, statistics, sys, tempfile, time

BUILD = os.path.abspath(sys.argv[1])
WORDS = sys.argv[2:] or ["pass", "lists"]
DIM, BLOCKS, LENGTH, BATCH, SAMPLED, DROPOUT, MIX, ROUNDS = 64, 2, 50, 64, 1024, .4, .7, 3


def sequences():
    with gzip.open(os.path.join(os.environ["REC_DATA"], "amazon-sequences", "beauty.txt.gz"), "rt") as lines:
        return [list(map(int, line.split()))[1:] for line in lines]


def connect(rows):
    db = sqlite3.connect(os.path.join(tempfile.mkdtemp(), "bench.db"), isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.join(BUILD, "recommend"))
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, t INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?, ?)", ((u, item, t) for u, row in enumerate(rows) for t, item in enumerate(row)))
    db.execute("CREATE INDEX events_user ON events(user, t, item)")
    return db


def ours(db, passes):
    """Seconds of a pass, without the start."""
    db.execute("DROP TABLE IF EXISTS m")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, time=t, algorithm=sequence, threads=2)")
    db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps({"passes": passes, "sampled": SAMPLED, "dropout": DROPOUT}),))
    seconds, = db.execute("SELECT max(seconds) FROM rec_training_log WHERE model = 'm'").fetchone()
    return seconds / passes


class Theirs:
    def __init__(self, rows):
        import torch
        import torch.nn.functional as F
        torch.set_num_threads(2)
        torch.manual_seed(1)
        self.torch, self.F = torch, F
        self.items = {item: i + 1 for i, item in enumerate(sorted({item for row in rows for item in row}))}  # 0 pads
        self.rows = [[self.items[item] for item in row[-LENGTH - 1:]] for row in rows if len(row) > 1]
        n = len(self.items)
        count = torch.zeros(n + 1)
        for row in self.rows:
            for item in row[1:]:
                count[item] += 1
        self.share = (count / count.sum()).double()
        self.w = {"e": torch.randn(n + 1, DIM) * .02}
        for b in range(BLOCKS):
            for name, shape in (("qkv", (DIM, 3 * DIM)), ("out", (DIM, DIM)), ("w1", (DIM, 4 * DIM)), ("w2", (4 * DIM, DIM))):
                self.w[f"{name}{b}"] = torch.randn(*shape) * .02
            self.w[f"beta{b}"] = torch.randn(DIM)
            for name, size in (("b_qkv", 3 * DIM), ("b_out", DIM), ("b1", 4 * DIM), ("b2", DIM), ("distance", LENGTH)):
                self.w[f"{name}{b}"] = torch.zeros(size)
        for norm in ["in"] + [f"{name}{b}" for b in range(BLOCKS) for name in ("a", "f", "o")]:
            self.w["gain_" + norm], self.w["bias_" + norm] = torch.ones(DIM), torch.zeros(DIM)
        for tensor in self.w.values():
            tensor.requires_grad_()
        self.adam = torch.optim.Adam(self.w.values(), lr=1.5e-3)
        k = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)[None, :]
        turn = 2 * math.pi * k / LENGTH
        self.back = k
        self.taps = torch.where(k >= 0, (1 + 2 * torch.cos(turn) + 2 * torch.cos(2 * turn)) / LENGTH, torch.zeros(()))

    def norm(self, x, name):
        return self.F.layer_norm(x, (DIM,), self.w["gain_" + name], self.w["bias_" + name], 1e-12)

    def block(self, x, b):
        F, w, n = self.F, self.w, x.shape[1]
        drop = lambda y: F.dropout(y, DROPOUT)
        q, k, v = (x @ w[f"qkv{b}"] + w[f"b_qkv{b}"]).split(DIM, 2)
        back = self.back[:n, :n]
        logits = q @ k.transpose(1, 2) / math.sqrt(DIM) + w[f"distance{b}"][back.clamp(min=0)]
        p = drop(logits.masked_fill(back < 0, -math.inf).softmax(2))
        g = self.norm(x + drop(p @ v @ w[f"out{b}"] + w[f"b_out{b}"]), f"a{b}")
        low = self.taps[:n, :n] @ x
        f = self.norm(x + drop(low + w[f"beta{b}"] ** 2 * (x - low)), f"f{b}")
        h = MIX * f + (1 - MIX) * g
        z = h @ w[f"w1{b}"] + w[f"b1{b}"]
        return self.norm(h + drop(z * self.torch.sigmoid(1.702 * z) @ w[f"w2{b}"] + w[f"b2{b}"]), f"o{b}")

    def step(self, rows):
        torch, F = self.torch, self.F
        n = max(map(len, rows)) - 1
        x = torch.tensor([row[:-1] + [0] * (n + 1 - len(row)) for row in rows])
        y = torch.tensor([row[1:] + [0] * (n + 1 - len(row)) for row in rows])
        h = F.dropout(self.norm(self.w["e"][x], "in"), DROPOUT)
        for b in range(BLOCKS):
            h = self.block(h, b)
        real = x > 0
        h, y = h[real], y[real]
        candidates, place = torch.unique(torch.cat([y, torch.randint(1, len(self.items) + 1, (SAMPLED,))]), return_inverse=True)
        never = SAMPLED * math.log1p(-1 / len(self.items)) + len(y) * torch.log1p(-self.share[candidates])
        logits = h @ self.w["e"][candidates].T - torch.log(-torch.expm1(never)).float()
        loss = F.cross_entropy(logits, place[:len(y)])
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    def run(self):
        order = list(range(len(self.rows)))
        random.Random(1).shuffle(order)
        started = time.perf_counter()
        for at in range(0, len(order), BATCH):
            self.step([self.rows[i] for i in order[at:at + BATCH]])
        return time.perf_counter() - started


def bench_pass(rows):
    train = [row[:-2] for row in rows]
    db = connect(train)
    contenders = {"sequence": lambda: ours(db, 1)}
    try:
        contenders["PyTorch"] = Theirs(train).run
    except ImportError:
        print("SKIP PyTorch: python3-torch is not installed")
    got = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            got[name].append(run())
    medians = {name: statistics.median(values) for name, values in got.items()}
    print(f"\n| a pass over Beauty, two threads, {SAMPLED} sampled | s | times ours |\n|---|---|---|")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.2f} | {seconds / medians['sequence']:.1f} |", flush=True)


def bench_lists(rows):
    """Ten items for carts of 50, from Python."""
    db = connect([row[:-2] for row in rows])
    draw, known = random.Random(3), sorted({item for row in rows for item in row[:-2]})
    carts = [json.dumps(draw.sample(known, 50)) for _ in range(1000)]
    ordered = {"algorithm": "item_knn", "pairs": "ordered", "neighbours": 200}
    settings = {"sequence": {"algorithm": "sequence", "passes": 1}, "item_knn ordered": ordered,
                "blend of the two": {"algorithm": "blend", "fusion": "log", "models": json.dumps([{"algorithm": "sequence", "passes": 1}, ordered])}}
    print("\n| a list of ten for a history of 50, 12 thousand items, from Python | p50 us | p99 us |\n|---|---|---|")
    for name, options in settings.items():
        db.execute("DROP TABLE IF EXISTS m")
        db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, time=t)")
        db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps(options),))
        times = []
        for cart in carts:
            started = time.perf_counter()
            db.execute("SELECT item, score FROM m WHERE basket = ? AND k = 10", (cart,)).fetchall()
            times.append(time.perf_counter() - started)
        times.sort()
        print(f"| {name} | {1e6 * times[len(times) // 2]:.0f} | {1e6 * times[len(times) * 99 // 100]:.0f} |", flush=True)


data = sequences()
for word in WORDS:
    {"pass": bench_pass, "lists": bench_lists}[word](data)
