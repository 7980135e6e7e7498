"""What the shop's owner looks at: what the experiment says, whether the data has moved, how fast pages are, what is live and why.
Charts are drawn as SVG by the server."""
import math
import threading
from bisect import bisect_left

BOUNDS = (.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1., 2.5)  # seconds: buckets of a page's time


class Page:
    def __init__(self):
        self.count, self.seconds, self.database, self.recommending = 0, 0., 0., 0.
        self.bucket = [0] * (len(BOUNDS) + 1)

    def quantile(self, q):
        """Interpolated in a bucket."""
        wanted, before = q * self.count, 0
        for i, inside in enumerate(self.bucket):
            if inside and before + inside >= wanted:
                low, high = (BOUNDS[i - 1] if i else 0.), (BOUNDS[i] if i < len(BOUNDS) else BOUNDS[-1])
                return low + (high - low) * (wanted - before) / inside
            before += inside
        return 0.


pages, lock = {}, threading.Lock()


def count_page(endpoint, seconds, database, recommending):
    with lock:
        page = pages.setdefault(endpoint or "none", Page())
        page.count += 1
        page.seconds += seconds
        page.database += database
        page.recommending += recommending
        page.bucket[bisect_left(BOUNDS, seconds)] += 1


def prometheus():
    """This process's pages as a histogram, and the seconds of them that were spent recommending."""
    lines = ["# HELP storefront_page_seconds Time to make a page.", "# TYPE storefront_page_seconds histogram"]
    with lock:
        for name, page in sorted(pages.items()):
            total = 0
            for bound, inside in zip((*BOUNDS, "+Inf"), page.bucket):
                total += inside
                lines.append(f'storefront_page_seconds_bucket{{page="{name}",le="{bound}"}} {total}')
            lines += [f'storefront_page_seconds_sum{{page="{name}"}} {page.seconds:.6f}', f'storefront_page_seconds_count{{page="{name}"}} {page.count}']
        lines += ["# HELP storefront_recommending_seconds_total Of these, spent in recommending.", "# TYPE storefront_recommending_seconds_total counter"]
        lines += [f'storefront_recommending_seconds_total{{page="{name}"}} {page.recommending:.6f}' for name, page in sorted(pages.items())]
    return "\n".join(lines) + "\n"


def arms(store):
    """Clicks a list of each arm, with a 95 % interval over users (a ratio of sums, by the delta method)."""
    by_arm = {}
    for row in store.ask("SELECT arm, lists, value FROM rec_experiment_users('recs', NULL, '{\"metric\": \"ctr\", \"scenario\": \"home\"}')"):
        by_arm.setdefault(row["arm"], []).append((row["lists"], row["value"]))
    out = []
    for arm, users in sorted(by_arm.items()):
        lists, clicks, n = sum(l for l, _ in users), sum(c for _, c in users), len(users)
        ctr = clicks / lists if lists else 0.
        spread = math.sqrt(sum((c - ctr * l) ** 2 for l, c in users) * n / (n - 1)) / lists if n > 1 and lists else 0.
        out.append({"arm": arm, "users": n, "lists": lists, "clicks": int(clicks), "ctr": ctr, "low": max(0., ctr - 1.96 * spread), "high": ctr + 1.96 * spread})
    top = max((arm["high"] for arm in out), default=0.) or 1.
    for arm in out:
        arm.update({key: round(100 * arm[key] / top, 1) for key in ("low", "high", "ctr")}, shown={key: arm[key] for key in ("low", "high", "ctr")})
    return out


def read(store):
    experiment = store.ask("SELECT * FROM rec_experiment('recs', NULL, '{\"scenario\": \"home\"}')") if store.ask(
        "SELECT 1 FROM rec_audit('recs') WHERE command IN ('canary', 'experiment') LIMIT 1") else []
    with lock:
        speed = [{"page": name, "count": page.count, "p50": 1e3 * page.quantile(.5), "p99": 1e3 * page.quantile(.99),
                  "mean": 1e3 * page.seconds / page.count, "share": page.recommending / page.seconds if page.seconds else 0.}
                 for name, page in sorted(pages.items(), key=lambda item: -item[1].count)]
    days = store.ask(
        """SELECT date(bought_at, 'unixepoch') AS day, count(DISTINCT invoice) AS orders FROM events
            WHERE quantity > 0 AND bought_at > unixepoch() - 60 * 86400 GROUP BY 1 ORDER BY 1""")
    most = max((row["orders"] for row in days), default=1)
    return {
        "experiment": experiment, "arms": arms(store) if experiment else [],
        "drift": store.ask("SELECT * FROM rec_drift('recs')"),
        "queries": store.ask("""SELECT "table", arm, operation, sum(requests) AS requests, max(p50) * 1000 AS p50, max(p99) * 1000 AS p99, sum(errors) AS errors
                                  FROM rec_stats WHERE requests > 0 GROUP BY 1, 2, 3 ORDER BY requests DESC LIMIT 12"""),
        "versions": store.ask("SELECT * FROM rec_versions WHERE model = 'recs' ORDER BY version DESC"),
        "commands": store.ask("SELECT datetime(at, 'unixepoch') AS at, command, author, note FROM rec_audit('recs') ORDER BY id DESC LIMIT 8"),
        "speed": speed,
        "days": [{"day": row["day"], "orders": row["orders"], "height": round(100 * row["orders"] / most, 1)} for row in days],
    }
