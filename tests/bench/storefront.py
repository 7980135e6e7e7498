#!/usr/bin/python3
"""Load on docs/examples/storefront behind nginx: customers who look, search, put into the cart and buy, while new versions are trained
and go live all the time (sql/nightly.sql).

    tests/bench/storefront.py BUILD [SECONDS]

The ports 8000 and 8080 must be free. For threads (one process of eight) and prefork (four processes of one) and for 1, 8 and 32 clients: pages a second, and by page p50 and
p99 as the client waits, p50 and p99 of the time inside recommendation queries and their share (Server-Timing). The clients run on the
same cores. Any answer but 200 or 303 is an error and ends the run with 1."""
import collections
import http.client
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHOP = ROOT / "docs/examples/storefront"


class Client:
    """A visitor with a cookie and a kept connection."""

    def __init__(self, port, seed, seen):
        self.connection, self.cookie, self.random, self.seen = http.client.HTTPConnection("127.0.0.1", port, timeout=30), "", random.Random(seed), seen

    def ask(self, page, path, form=None):
        start = time.perf_counter()
        headers = {"Cookie": self.cookie}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request("GET" if form is None else "POST", path, None if form is None else urllib.parse.urlencode(form), headers)
        answer = self.connection.getresponse()
        body = answer.read().decode()
        spent = 1e3 * (time.perf_counter() - start)
        if answer.headers.get("Set-Cookie"):
            self.cookie = answer.headers["Set-Cookie"].split(";")[0]
        inside = {name: float(duration) for name, duration in re.findall(r"(\w+);dur=([\d.]+)", answer.headers.get("Server-Timing", ""))}
        self.seen.append((page, answer.status, spent, inside.get("recs", 0.), inside.get("total", 0.)))
        return answer.headers["Location"] if answer.status == 303 else body

    def visit(self):
        """One visit: about nine pages; every fourth buys."""
        page = self.ask("home", "/")
        for _ in range(2):
            links = re.findall(r'href="(/go/[^"]+)"', page)
            page = self.ask("product", self.ask("click", self.random.choice(links)))
        token, code = re.search(r'name="token" value="(\w+)"', page).group(1), re.search(r'name="code" value="([^"]+)"', page).group(1)
        picture = re.search(r'src="(/thumb/[^"]+)"', page)
        self.ask("picture", picture.group(1))
        self.ask("search", "/search?q=" + urllib.parse.quote(self.random.choice(["red lantern", "cake", "garden", "paper bag", "christmas", "tea cup"])))
        self.ask("cart", self.ask("add", "/cart", {"token": token, "code": code, "add": 1, "pieces": 1}))
        if self.random.random() < .25:
            self.ask("thanks", self.ask("checkout", "/checkout", {"token": token}))
        if self.random.random() < .5:
            self.cookie = ""  # somebody else comes


def wait_for(web, proxy):
    for _ in range(200):
        if web.poll() is not None or proxy.poll() is not None:
            raise SystemExit("gunicorn or nginx has ended: are the ports 8000 and 8080 free?")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(.1)
    raise SystemExit("the storefront does not start")


def servers(build, folder, workers):
    """gunicorn and nginx over a copy of the shop; returns what to stop."""
    folder.chmod(0o755)  # nginx's workers are somebody else
    shutil.copy(build / "storefront.db", folder / "storefront.db")
    # While an experiment runs no new version goes live.
    subprocess.run(["sqlite3", "-cmd", f".load {build / 'recommend'}", str(folder / "storefront.db"), "INSERT INTO recs(recs) VALUES('stop')"], check=True)
    (folder / "logs").mkdir(exist_ok=True)
    environment = {**os.environ, "RECOMMEND": str(build / "recommend"), "STOREFRONT_DB": str(folder / "storefront.db"), "STOREFRONT_WORKERS": str(workers), "OPENBLAS_NUM_THREADS": "1"}
    web = subprocess.Popen(["gunicorn", "--log-level", "error", "--chdir", str(SHOP), "--config", str(SHOP / "gunicorn.conf.py"), "app:app"], env=environment)
    proxy = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(SHOP / "nginx.conf"), "-g", "daemon off;"])
    return web, proxy


def nights(build, database, stop, trained):
    """Trains and makes live, again and again."""
    with open(ROOT / "sql/nightly.sql") as script:
        text = script.read()
    while not stop.is_set():
        done = subprocess.run(["sqlite3", "-cmd", f".load {build / 'recommend'}", str(database)], input=text, capture_output=True, text=True)
        trained.append(done.returncode == 0 and done.stdout.startswith("version"))
        if not trained[-1]:
            print(done.stderr, file=sys.stderr)
        stop.wait(1)


def round_of(clients, seconds):
    seen, end = [], time.monotonic() + seconds

    def run(seed):
        client = Client(8080, seed, seen)
        while time.monotonic() < end:
            try:
                client.visit()
            except Exception as error:  # counted as an answer that was none
                print(f"a client: {error!r}", file=sys.stderr)
                seen.append(("none", 0, 0., 0., 0.))
                client = Client(8080, seed, seen)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(clients)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen, time.monotonic() - started


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main(build, seconds=10):
    build, errors = pathlib.Path(build).resolve(), 0
    print("| served by | clients | page | pages/s | p50 ms | p99 ms | recommending p50 | p99 | share of the page |\n|---|---|---|---|---|---|---|---|---|")
    for name, workers in (("8 threads", 1), ("4 processes", 4)):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            web, proxy = servers(build, folder, workers)
            stop, trained = threading.Event(), []
            trainer = threading.Thread(target=nights, args=(build, folder / "storefront.db", stop, trained))
            try:
                wait_for(web, proxy)
                trainer.start()
                for clients in (1, 8, 32):
                    seen, took = round_of(clients, float(seconds))
                    errors += sum(status not in (200, 303) for _, status, *_ in seen)
                    pages = collections.defaultdict(list)
                    for page, _, spent, recs, total in seen:
                        pages[page].append((spent, recs, total))
                        pages["all"].append((spent, recs, total))
                    for page in ("all", "home", "product", "search", "cart", "thanks", "checkout", "picture"):
                        if not pages[page]:
                            continue
                        spent, recs, total = zip(*pages[page])
                        print(f"| {name} | {clients} | {page} | {len(spent) / took:.0f} | {statistics.median(spent):.1f} | {percentile(spent, .99):.1f} | "
                              f"{statistics.median(recs):.2f} | {percentile(recs, .99):.2f} | {100 * sum(recs) / (sum(total) or 1):.0f} % |", flush=True)
            finally:
                stop.set()
                if trainer.ident:
                    trainer.join()
                proxy.terminate()
                web.terminate()
                web.wait()
                proxy.wait()
            print(f"{name}: {len(trained)} versions trained and made live, {trained.count(False)} failed", flush=True)
            errors += trained.count(False)
    print(f"{errors} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
