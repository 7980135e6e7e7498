"""docs/examples/storefront behind haproxy.cfg: two storefronts over one file, replaced one after the other by rolling.sh while customers ask
and order. No answer is an error."""
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

import sqlite_recommend
from test_storefront import FOLDER, opened


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Shop:
    """A gunicorn; restart() is what rolling.sh calls, through a signal to this process's file of commands."""

    def __init__(self, folder, name, port):
        self.name, self.port, self.log = name, port, os.path.join(folder, f"{name}.log")
        self.start()

    def start(self):
        environment = {**os.environ, "STOREFRONT_BIND": f"127.0.0.1:{self.port}", "STOREFRONT_KEY": "the same everywhere", "OPENBLAS_NUM_THREADS": "1"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "gunicorn", "--log-level", "error", "--pid", self.log + ".pid", "--chdir", FOLDER, "--config",
                                             os.path.join(FOLDER, "gunicorn.conf.py"), "app:app"], env=environment, stdout=log, stderr=log)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Customer(threading.Thread):
    def __init__(self, port, stop):
        super().__init__()
        self.port, self.stop, self.answers, self.orders, self.errors, self.cookie = port, stop, 0, 0, [], ""

    def ask(self, path, form=None):
        headers = {"Cookie": self.cookie, **({"Content-Type": "application/x-www-form-urlencoded"} if form else {})}
        self.connection.request("POST" if form else "GET", path, urllib.parse.urlencode(form) if form else None, headers)
        answer = self.connection.getresponse()
        body = answer.read().decode()
        if answer.status not in (200, 303):
            raise AssertionError(f"{path}: {answer.status}")
        if answer.headers.get("Set-Cookie"):
            self.cookie = answer.headers["Set-Cookie"].split(";")[0]
        self.answers += 1
        return body

    def run(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.stop.is_set():
            try:
                page = self.ask("/")
                code = re.search(r'href="/go/[^/]+/([^"]+)"', page).group(1)
                token = re.search(r'name="token" value="(\w+)"', self.ask(f"/product/{code}")).group(1)
                self.ask("/cart", {"token": token, "code": code, "add": 1, "pieces": 1})
                self.ask("/checkout", {"token": token})
                self.orders += 1
            except Exception as error:  # each counts
                self.errors.append(repr(error))
                self.connection.close()


def test_storefronts_are_replaced_one_after_the_other_without_an_error(folder):
    for program in ("haproxy", "gunicorn"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            raise unittest.SkipTest(f"{program} is not there")
    _, db = opened(folder)
    front, a, b = free_ports(3)
    orders, = db.execute("SELECT count(*) FROM orders").fetchone()
    os.environ.update(RECOMMEND=sqlite_recommend.loadable_path(), SOCKET=os.path.join(folder, "admin"), FRONT=f"127.0.0.1:{front}", A=f"127.0.0.1:{a}", B=f"127.0.0.1:{b}")
    shops = [Shop(folder, "a", a), Shop(folder, "b", b)]
    proxy = subprocess.Popen([shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), "-f", os.path.join(FOLDER, "haproxy.cfg")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stop, first = threading.Event(), [shop.process.pid for shop in shops]
    customers = [Customer(front, stop) for _ in range(4)]
    try:
        end = time.monotonic() + 60
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", front, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            assert time.monotonic() < end and proxy.poll() is None, "no storefront answers"
            time.sleep(.1)
        for customer in customers:
            customer.start()
        time.sleep(1)
        # A restart: the old one ends by SIGTERM, and this test starts a new one when it has.
        gone = [f"kill -TERM $(cat {shop.log}.pid) && while [ -e {shop.log}.pid ]; do sleep .05; done" for shop in shops]
        watchers = [threading.Thread(target=lambda shop=shop: (shop.process.wait(), shop.start())) for shop in shops]
        for watcher in watchers:
            watcher.start()
        rolled = subprocess.run(["sh", os.path.join(FOLDER, "rolling.sh"), *gone], capture_output=True, text=True, timeout=150)
        assert rolled.returncode == 0, rolled
        for watcher in watchers:
            watcher.join()
        time.sleep(1)
    finally:
        stop.set()
        for customer in customers:
            if customer.ident:
                customer.join()
        proxy.terminate()
        proxy.wait()
        for shop in shops:
            shop.stop()
    assert [shop.process.pid for shop in shops] != first and all(new != old for new, old in zip([shop.process.pid for shop in shops], first))
    errors = [error for customer in customers for error in customer.errors]
    assert not errors, (len(errors), errors[:3])
    done = sum(customer.orders for customer in customers)
    assert done > 10, done
    assert db.execute("SELECT count(*) FROM orders").fetchone()[0] == orders + done
