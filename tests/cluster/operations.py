"""The operations whose leader is killed. Each says what there is before its statement and what there is after it; nothing else may be
found, ever. What is after comes from a plain file with the same rows (`plain`, a connection of SQLite), not from the cluster."""
import array
import json
import uuid

import support

ROWS = 20000
INDEX_DIM = 64


def newest(ask):
    """(versions made so far, what serves)"""
    return ask("SELECT max(version), (SELECT sha256 FROM rec_versions WHERE model = 'recs' AND active) FROM rec_versions WHERE model = 'recs'")[0]


class Operation:
    name = ""

    def __init__(self, plain):
        self.plain = plain

    def both(self, cluster, *statements):
        """The cluster's and the plain file's."""
        for sql in statements:
            self.plain.execute(sql)
            support.write(cluster, sql)

    def setup(self, cluster):
        """Once."""

    def begin(self, cluster, turn):
        """Makes a state to start from; returns the statement, its values, and the state after it."""
        raise NotImplementedError

    def state(self, cluster):
        raise NotImplementedError

    def check(self, cluster):
        """What must hold in either state."""
        cluster.query("SELECT count(*) FROM recs WHERE user = 12388 AND k = 20")


class Train(Operation):
    name = "train"
    options = [{"algorithm": "item_knn"}, {"algorithm": "slim", "neighbours": 50}, {"algorithm": "ials", "factors": 16, "sweeps": 2}]

    def setup(self, cluster):
        self.sha = []
        for options in self.options:
            self.plain.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", [json.dumps(options)])
            self.sha += self.plain.execute("SELECT sha256 FROM rec_versions WHERE active").fetchone()

    def begin(self, cluster, turn):
        made, _ = newest(cluster.query)
        kind = turn % len(self.options)
        return "INSERT INTO recs(recs, arg) VALUES('train', ?)", [json.dumps({**self.options[kind], "keep": 3})], (made + 1, self.sha[kind])

    def state(self, cluster):
        return newest(cluster.query)

    def check(self, cluster):
        support.write(cluster, "INSERT INTO recs(recs) VALUES('integrity-check')")
        super().check(cluster)


class Load(Train):
    name = "load"
    options = [{"algorithm": "ease", "max_items": 1500}, {"algorithm": "slim", "neighbours": 50}]

    def setup(self, cluster):
        super().setup(cluster)
        self.version = [self.plain.execute("SELECT rec_train('recs', ?)", [json.dumps(options)]).fetchone()[0] for options in self.options]

    def begin(self, cluster, turn):
        made, _ = newest(cluster.query)
        kind = turn % len(self.options)
        return "INSERT INTO recs(recs, arg, options) VALUES('load', ?, '{\"keep\": 3}')", [self.version[kind]], (made + 1, self.sha[kind])


class Insert(Operation):
    name = "insert"

    def setup(self, cluster):
        support.write(cluster, "CREATE TABLE clicks(batch TEXT, customer INTEGER, product TEXT)")
        support.write(cluster, "CREATE INDEX clicks_by_batch ON clicks(batch)")

    def begin(self, cluster, turn):
        self.batch = uuid.uuid4().hex
        return "INSERT INTO clicks SELECT ?, value, '85123A' FROM json_each(?)", [self.batch, json.dumps(list(range(ROWS)))], (ROWS, ROWS * (ROWS - 1) // 2)

    def state(self, cluster):
        return cluster.query("SELECT count(*), ifnull(sum(customer), 0) FROM clicks WHERE batch = ?", [self.batch])[0]

    def check(self, cluster):
        support.write(cluster, "DELETE FROM clicks WHERE batch = ?", [self.batch])
        super().check(cluster)


class Index(Operation):
    """By turns the rows and the graph."""
    name = "index build"

    def setup(self, cluster):
        self.plain.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", [json.dumps({"algorithm": "ials", "factors": INDEX_DIM, "sweeps": 4})])
        vectors = self.plain.execute("SELECT vector FROM rec_item_vectors('recs')").fetchall()
        self.rows = [array.array("f", vector).tolist() for vector, in vectors]
        self.plain.execute(f"CREATE VIRTUAL TABLE shelf USING rec_index(e float[{INDEX_DIM}], index=HNSW16)")
        self.fill = "INSERT INTO shelf(rowid, e) SELECT key, value FROM json_each(?)"
        self.plain.execute(self.fill, [json.dumps(self.rows)])
        self.near = self.answer(lambda sql, values: self.plain.execute(sql, values).fetchall())

    def answer(self, ask):
        """The nearest; ef beyond the rows makes a graph's search exact."""
        return [ask("SELECT rowid, distance FROM shelf(?, 10, '{\"ef\": 4096}')", [json.dumps(self.rows[row])]) for row in (0, 1000, 2000)]

    def begin(self, cluster, turn):
        cluster.execute("DROP TABLE IF EXISTS shelf")
        cluster.execute(f"CREATE VIRTUAL TABLE shelf USING rec_index(e float[{INDEX_DIM}], index=HNSW16)")
        if turn % 2 == 0:
            return self.fill, [json.dumps(self.rows)], (len(self.rows), 0)
        cluster.execute(self.fill, [json.dumps(self.rows)])
        return "INSERT INTO shelf(shelf) VALUES('rebuild')", [], (len(self.rows), len(self.rows))

    def state(self, cluster):
        return cluster.query("SELECT rows, built_rows FROM rec_indexes WHERE name = 'shelf'")[0]

    def check(self, cluster):
        support.write(cluster, "INSERT INTO shelf(shelf) VALUES('integrity-check')")
        if self.state(cluster)[0]:
            assert self.answer(cluster.query) == self.near


class Experiment(Operation):
    name = "experiment"
    start = """{"name": "winter", "arms": {"a": 1, "b": 2}, "shares": [0.5, 0.3]}"""

    def setup(self, cluster):
        self.both(cluster, "CREATE TABLE few(customer INTEGER, product TEXT)",
                  "INSERT INTO few SELECT customer_id, stock_code FROM purchases WHERE customer_id < 12500",
                  "CREATE VIRTUAL TABLE tried USING rec_model(events=few, user=customer, item=product)",
                  "INSERT INTO tried(tried) VALUES('train')",
                  """INSERT INTO tried(tried, arg) VALUES('train', '{"algorithm": "popular", "activate": "never"}')""")
        self.plain.execute("INSERT INTO tried(tried, arg) VALUES('experiment', ?)", [self.start])
        self.arms = tuple(self.plain.execute("SELECT user, arm, version, item FROM tried WHERE k = 1 ORDER BY user").fetchall())
        assert len({arm for _, arm, _, _ in self.arms}) == 3

    def begin(self, cluster, turn):
        if self.state(cluster)[1]:
            support.write(cluster, "INSERT INTO tried(tried) VALUES('stop')")
        return "INSERT INTO tried(tried, arg) VALUES('experiment', ?)", [self.start], (self.state(cluster)[0] + 1, self.arms)

    def state(self, cluster):
        """(how often the audit has it, everybody's arm and item, or nothing where no experiment runs)"""
        begun, = cluster.query("SELECT count(*) FROM rec_audit('tried') WHERE command = 'experiment'")[0]
        arms = tuple(cluster.query("SELECT user, arm, version, item FROM tried WHERE k = 1 ORDER BY user"))
        return begun, arms if any(arm for _, arm, _, _ in arms) else ()


class Forget(Operation):
    """Her events, and her row in the version."""
    name = "forget"

    def setup(self, cluster):
        self.both(cluster, "CREATE TABLE visits(customer INTEGER, product TEXT, at INTEGER)",
                  "INSERT INTO visits SELECT customer_id, stock_code, bought_at FROM purchases WHERE quantity > 0 AND customer_id < 14000",
                  "CREATE VIRTUAL TABLE mine USING rec_model(events=visits, user=customer, item=product, time=at, algorithm=user_knn)",
                  "INSERT INTO mine(mine) VALUES('train')")
        self.customers = [customer for customer, in self.plain.execute("SELECT customer FROM visits GROUP BY 1 HAVING count(DISTINCT product) > 30 ORDER BY 1")]

    def begin(self, cluster, turn):
        self.customer = self.customers[turn]
        forgotten, _, _, _ = self.state(cluster)
        self.plain.execute("INSERT INTO mine(mine, arg) VALUES('forget', ?)", [self.customer])
        sha, = self.plain.execute("SELECT sha256 FROM rec_versions WHERE model = 'mine'").fetchone()
        return "INSERT INTO mine(mine, arg) VALUES('forget', ?)", [self.customer], (forgotten + 1, 0, 0, sha)

    def state(self, cluster):
        return cluster.query("SELECT (SELECT count(*) FROM rec_audit('mine') WHERE command = 'forget'), (SELECT count(*) FROM visits WHERE customer = ?1), "
                             "(SELECT count(*) FROM rec_verify_forgotten('mine', ?1)), (SELECT sha256 FROM rec_versions WHERE model = 'mine')", [self.customer])[0]

    def check(self, cluster):
        support.write(cluster, "INSERT INTO mine(mine) VALUES('integrity-check')")
        if self.state(cluster)[1]:  # it was lost with the leader: what a shop does then
            support.write(cluster, "INSERT INTO mine(mine, arg) VALUES('forget', ?)", [self.customer])
        assert cluster.query("SELECT count(*) FROM mine WHERE user = ? AND k = 5", [self.customers[-1]]) == [(5,)]


ALL = [Train, Load, Insert, Index, Experiment, Forget]
