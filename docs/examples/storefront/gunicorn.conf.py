"""Threads by default; STOREFRONT_WORKERS=4 makes prefork workers instead. Connections are opened where they are used, after the fork."""
import os
import sys

bind = os.environ.get("STOREFRONT_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("STOREFRONT_WORKERS", "1"))
threads = int(os.environ.get("STOREFRONT_THREADS", "8" if workers == 1 else "1"))
worker_class = "gthread" if threads > 1 else "sync"
accesslog = None
graceful_timeout = 10
raw_env = [] if os.environ.get("STOREFRONT_KEY") else [f"STOREFRONT_KEY={os.urandom(16).hex()}"]


# A thread that comes back from SQLite waits for Python's lock, up to this long where another computes: 5 ms if nothing is said.
sys.setswitchinterval(.0005)


def post_worker_init(worker):
    """The first list reads the version: not at a customer's expense. Not counted as a page."""
    import app
    app.store.ask("SELECT item FROM recs WHERE basket = '[]' AND k = 1")
    app.store.ask("SELECT item FROM alike WHERE similar_to = (SELECT stock_code FROM catalogue LIMIT 1) AND k = 1")
    app.store.ask("SELECT item FROM trending WHERE basket = '[]' AND k = 1")
