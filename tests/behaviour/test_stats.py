"""What is counted in the process: rec_stats, its history in the database, and Prometheus's text."""
import http.server, json, os, re, shutil, signal, socket, subprocess, threading, time, unittest, urllib.parse, urllib.request

from support import equal, make_events, make_model, one, refused, rows, shadow
from test_rollout import note, two_versions

MONITORING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "monitoring")


def counts(db, columns="version, arm, operation, requests, errors, fall_backs, rows, filled, candidates", name="counted.db"):
    return rows(db, f"SELECT {columns} FROM rec_stats WHERE database = ?", name)


def test_every_request_is_counted_once(shop):
    db = two_versions(shop, "counted.db")
    own = {operation: [0, 0] for operation in ("user", "similar", "basket", "everybody")}
    def ask(operation, sql, *arguments):
        got = rows(db, sql, *arguments)
        own[operation][0] += 1
        own[operation][1] += len(got)
        return got
    for user in (1, 2, 3, 10 ** 6):
        ask("user", "SELECT item FROM m WHERE user = ? AND k = 5", user)
    rows(db, "SELECT item FROM m WHERE user = NULL")  # NULL asks nothing
    ask("similar", "SELECT item FROM m WHERE similar_to = 3 AND k = 4")
    ask("basket", "SELECT item FROM m WHERE basket = '[1, 2]' AND k = 4")
    ask("everybody", "SELECT user, item FROM m WHERE k = 3")
    refused(db, "SELECT item FROM m WHERE user = 1 AND options = '{\"version\": 99}'", says="no version 99")
    found = {(version, operation): values for version, arm, operation, *values in counts(db)}
    filled = one(db, "SELECT count(*) FROM m WHERE user = 1000000 AND k = 5")
    own["user"][0] += 1
    own["user"][1] += filled
    found = {(version, operation): values for version, arm, operation, *values in counts(db)}
    for operation, (n, n_rows) in own.items():
        requests, errors, fall_backs, made, from_popular, candidates = found[1, operation]
        equal((requests, errors, fall_backs, made), (n, 0, 0, n_rows), operation)
    assert found[1, "user"][4] >= 2 * filled, "a stranger's list is the popular one"
    equal(found[None, "user"][:2], [1, 1])
    ask("user", "SELECT item FROM m WHERE user = 1 AND candidates = '[1, 2, 3]'")
    equal(one(db, "SELECT candidates FROM rec_stats WHERE database = 'counted.db' AND operation = 'user' AND version = 1"), 3)


def test_arms_and_fall_backs_are_told_apart(shop):
    db = two_versions(shop, "arms.db")
    note(db, "canary", {"version": 2, "share": 0.5})
    expected = {}
    for user in range(1, 41):
        key = rows(db, "SELECT version, arm FROM m WHERE user = ? AND k = 1", user)[0]
        expected[key] = expected.get(key, 0) + 1
    equal({(version, arm): n for version, arm, n in counts(db, "version, arm, requests", "arms.db")}, expected)
    note(db, "stop", {"promote": "canary"})
    db.execute("UPDATE m_chunks SET data = zeroblob(10) WHERE version = 2")
    db.close()
    db = shop.connect("arms.db")
    # another process would have to read it; this one has it at hand, so that the copy is asked to go
    db.execute("UPDATE m_versions SET sha256 = '0' || substr(sha256, 2) WHERE version = 2")
    equal(one(db, "SELECT version FROM m WHERE user = 1 AND k = 1"), 1)
    equal(one(db, "SELECT sum(fall_backs) FROM rec_stats WHERE database = 'arms.db'"), 1)


def test_searches_are_counted(shop):
    db = shop.connect("search.db")
    db.execute("CREATE VIRTUAL TABLE near USING rec_index(v float[2])")
    for i in range(5):
        db.execute("INSERT INTO near(rowid, v) VALUES(?, ?)", (i + 1, json.dumps([i, 1])))
    for _ in range(3):
        rows(db, "SELECT rowid FROM near WHERE v MATCH '[1, 1]' AND k = 2")
    refused(db, "SELECT rowid FROM near WHERE v MATCH '[1, 1, 1]' AND k = 2", says="")
    rows(db, "SELECT rowid FROM near")
    equal(counts(db, "\"table\", operation, requests, errors, rows", "search.db"), [("near", "search", 4, 1, 6)])
    db.execute("ALTER TABLE near RENAME TO nearby")
    rows(db, "SELECT rowid FROM nearby WHERE v MATCH '[1, 1]' AND k = 2")
    equal(counts(db, "\"table\", requests", "search.db"), [("near", 4), ("nearby", 1)])


def test_threads_lose_no_count(shop):
    db = two_versions(shop, "threads.db")
    def ask():
        own = shop.connect("threads.db")
        for i in range(200):
            rows(own, "SELECT item FROM m WHERE user = ? AND k = 3", i % 60 + 1)
        own.close()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        now = one(db, "SELECT total(requests) FROM rec_stats WHERE database = 'threads.db'")
        assert now >= seen, "a count never falls, though connections come and go"
        seen = now
    for thread in threads:
        thread.join()
    equal(counts(db, "requests, rows", "threads.db"), [(1600, 4800)])
    p50, p99, seconds = counts(db, "p50, p99, seconds", "threads.db")[0]
    assert 0 < p50 <= p99 <= 10 and seconds > 1600 * p50 / 20


def test_many_versions_do_not_grow_for_ever(shop):
    db = shop.connect("many.db")
    make_events(db)
    make_model(db)
    for i in range(40):
        note(db, "train", {"seed": i})
        rows(db, "SELECT item FROM m WHERE user = 1 AND k = 1")
    equal(one(db, "SELECT total(requests) FROM rec_stats WHERE database = 'many.db'"), 40)


def test_counts_are_kept_for_those_who_look_later(shop):
    db = two_versions(shop, "history.db")
    before = shadow(db, "m")
    db.execute("BEGIN")
    db.execute("INSERT INTO m(m) VALUES('flush-stats')")
    db.execute("ROLLBACK")
    equal(shadow(db, "m"), before)
    equal(rows(db, "SELECT * FROM rec_stats_history('m')"), [])
    for n in (3, 2):
        for user in range(1, n + 1):
            rows(db, "SELECT item FROM m WHERE user = ? AND k = 2", user)
        db.execute("INSERT INTO m(m) VALUES('flush-stats')")
    history = rows(db, "SELECT version, arm, operation, requests, rows, p50 > 0, p99 >= p50 FROM rec_stats_history('m')")
    equal(history, [(1, None, "user", 3, 6, 1, 1), (1, None, "user", 2, 4, 1, 1)], "each flush has what came since the one before")
    process = one(db, "SELECT DISTINCT process FROM rec_stats_history('m')")
    assert re.fullmatch(r"\d+-%d" % os.getpid(), process), process
    db.execute("UPDATE m_stats SET buckets = 'x' WHERE id = 1")
    refused(db, "SELECT * FROM rec_stats_history('m')", says="have no buckets")


# ---- Prometheus ----


def needs(program):
    if not shutil.which(program):
        raise unittest.SkipTest(f"no {program} here (make test installs it)")
    return program


def asked_shop(shop):
    db = two_versions(shop, "prom.db")
    note(db, "annotate", {"version": 1, "tags": {"ndcg.10": 0.25, "season": "winter \"sale\"\\\n"}})
    db.execute("CREATE VIRTUAL TABLE \"odd \"\"name\\\" USING rec_index(v float[2])")
    db.execute("INSERT INTO \"odd \"\"name\\\"(rowid, v) VALUES(1, '[1, 2]')")
    rows(db, "SELECT rowid FROM \"odd \"\"name\\\" WHERE v MATCH '[1, 1]' AND k = 2")
    for user in range(1, 30):
        rows(db, "SELECT item FROM m WHERE user = ? AND k = 5", user)
    return db


def test_promtool_has_no_word_to_say(shop):
    db = asked_shop(shop)
    text = one(db, "SELECT rec_prometheus()")
    done = subprocess.run([needs("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    equal((done.returncode, done.stdout + done.stderr), (0, ""))
    samples = dict(re.findall(r"^(\S+\{.*prom\.db.*\}|\w+) (\S+)$", text, re.MULTILINE))
    label = '{database="prom.db",table="m",version="1",arm="",operation="user"}'
    equal(float(samples["recommend_requests_total" + label]), 29)
    equal(float(samples["recommend_request_duration_seconds_count" + label]), 29)
    equal(float(samples['recommend_version_tag{database="prom.db",table="m",tag="ndcg.10"}']), 0.25)
    equal(len(re.findall(r'table="odd \\"name\\\\",', text)) > 0, True)
    # a second file of the same name is no second sample of the same labels
    other = os.path.join(shop.folder, "other")
    os.mkdir(other)
    shutil.copy(shop.path("prom.db"), other)
    db.execute("ATTACH ? AS again", (os.path.join(other, "prom.db"),))
    lines = [line.rsplit(" ", 1)[0] for line in one(db, "SELECT rec_prometheus()").splitlines() if line[0] != "#"]
    equal(len(lines), len(set(lines)))


def test_the_rules_are_rules_and_fire(shop):
    for arguments in (("check", "rules", "recommend.rules.yml"), ("test", "rules", "recommend.rules.test.yml")):
        done = subprocess.run([needs("promtool"), *arguments], cwd=MONITORING, capture_output=True, text=True)
        equal(done.returncode, 0, done.stdout + done.stderr)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def test_a_real_prometheus_answers_what_the_dashboard_asks(shop):
    needs("prometheus")
    db = asked_shop(shop)
    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            for user in range(1, 30):
                rows(db, "SELECT item FROM m WHERE user = ? AND k = 5", user)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(one(db, "SELECT rec_prometheus()").encode())
        def log_message(self, *_):
            pass
    metrics = http.server.HTTPServer(("127.0.0.1", 0), Metrics)
    threading.Thread(target=metrics.serve_forever, daemon=True).start()
    with open(shop.path("prometheus.yml"), "w") as file:
        file.write(f"""global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
rule_files: [{os.path.abspath(os.path.join(MONITORING, 'recommend.rules.yml'))}]
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{metrics.server_port}']}}]}}]
""")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/"
    server = subprocess.Popen(["prometheus", f"--config.file={shop.path('prometheus.yml')}", f"--storage.tsdb.path={shop.path('tsdb')}", f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.2)
            try:
                samples = get(url + "query?" + urllib.parse.urlencode({"query": "count_over_time(recommend_requests_total{table='m'}[1m])"}))["data"]["result"]
            except OSError:
                continue
            if samples and float(samples[0]["value"][1]) >= 4:
                break
        board = json.load(open(os.path.join(MONITORING, "grafana.json")))
        asked = 0
        for panel in board["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m").replace("$database", ".*").replace("$table", ".*")
                answer = get(url + "query?" + urllib.parse.urlencode({"query": query}))
                equal(answer["status"], "success")
                assert answer["data"]["result"], f"{panel['title']}: nothing for {query}"
                assert all(value["value"][1] not in ("NaN", "") for value in answer["data"]["result"] if value["metric"].get("table") == "m" and value["metric"].get("version", "1") == "1"), (query, answer)
                asked += 1
        equal(asked, sum(len(panel["targets"]) for panel in board["panels"]))
        equal({target["health"] for target in get(url + "targets")["data"]["activeTargets"]}, {"up"})
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        metrics.shutdown()
