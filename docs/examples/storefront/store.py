"""Everything that the shop asks its database: SQL in one place, a connection for each thread.

A Visit is who asks: a visitor's cookie, the customer number once she has signed in, what she looked at lately and her cart. A shelf is
a list of products with the list's id, so that a click on it can be told from one on another."""
import json
import logging
import os
import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import List, Optional

# The reason is computed only where it is asked for.
ASK = """SELECT r.rank, r.item, c.name, c.price, r.version, r.arm, {reason} AS because
  FROM {model} r JOIN catalogue c ON c.stock_code = r.item
  WHERE {condition} AND r.k = :k AND r.exclude = :exclude AND r.options = :options ORDER BY r.rank"""
REASON = "(SELECT name FROM products WHERE stock_code = r.because ->> '$.items[0].item')"

# The first of the list in the order that ordering.sql has learnt, at most two of a family of products. Features by their place there.
ORDERED = """
WITH list AS MATERIALIZED (
  SELECT item, rank, score, version, arm FROM recs r WHERE {condition} AND k = 40 AND exclude = :exclude AND options = :options),
her AS MATERIALIZED (
  SELECT count(DISTINCT stock_code) AS products, count(DISTINCT invoice) AS orders, (unixepoch() - max(bought_at)) / 86400.0 AS days, avg(price) AS price
    FROM events WHERE customer_id = :user AND quantity > 0),
valued AS MATERIALIZED (
  SELECT l.item, l.version, l.arm, c.name, c.price, rec_predict('in_order', l.rank, l.score, p.buyers, p.buyers_lately, p.product_days, p.trend,
           h.products, h.orders, h.days, h.price, c.price, c.price / h.price) AS value
    FROM list l JOIN catalogue c ON c.stock_code = l.item LEFT JOIN product_now p ON p.stock_code = l.item CROSS JOIN her h),
first AS MATERIALIZED (
  SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY substr(item, 1, 3) ORDER BY value DESC, item) AS of_family FROM valued)
   WHERE of_family <= 2 ORDER BY value DESC, item LIMIT :k),
reasons AS MATERIALIZED (
  SELECT r.item, r.because ->> '$.items[0].item' AS code FROM recs r WHERE {condition} AND r.item IN (SELECT item FROM first))
SELECT row_number() OVER (ORDER BY value DESC, item) AS rank, item, name, price, version, arm,
       (SELECT p.name FROM reasons r JOIN products p ON p.stock_code = r.code WHERE r.item = first.item) AS because
  FROM first ORDER BY 1"""

# One search box: words, what is bought like the best word hits, and the customer's own order, fused by ranks (sql/search.sql).
SEARCH = """
WITH found_words AS MATERIALIZED (
  SELECT rowid AS id, row_number() OVER (ORDER BY rank, rowid) AS place FROM words WHERE words MATCH :words ORDER BY rank, rowid LIMIT 100),
found_near AS MATERIALIZED (
  SELECT rowid AS id, rank AS place FROM things
   WHERE k = 40 AND embedding MATCH (SELECT rec_vec_avg(t.embedding) FROM found_words w JOIN things t ON t.rowid = w.id WHERE w.place <= 5)),
found_taste AS (
  SELECT c.id, r.rank AS place FROM recs r JOIN catalogue c ON c.stock_code = r.item
   WHERE r.user = :customer AND r.options = '{"exclude_seen": false}'
     AND r.candidates = (SELECT json_group_array(stock_code) FROM catalogue WHERE id IN (SELECT id FROM found_words UNION SELECT id FROM found_near))),
lists AS (SELECT * FROM found_words UNION ALL SELECT * FROM found_near UNION ALL SELECT * FROM found_taste WHERE :customer IS NOT NULL)
SELECT row_number() OVER (ORDER BY rec_rrf(place) DESC, id) AS rank, c.stock_code AS item, c.name, c.price, NULL AS version, NULL AS arm, NULL AS because
  FROM lists JOIN catalogue c USING (id) GROUP BY id ORDER BY 1 LIMIT 24"""


@dataclass
class Visit:
    visitor: str
    customer: Optional[int] = None
    looked_at: List[str] = field(default_factory=list)  # the latest first
    cart: dict = field(default_factory=dict)            # stock code: pieces

    @property
    def unit(self):
        """Who she is in an experiment, and in the log of what was shown."""
        return self.customer if self.customer is not None else self.visitor


@dataclass
class Shelf:
    title: str
    items: list
    list_id: str = ""
    scenario: str = ""
    note: str = ""


class Clock:
    """Seconds that the page in hand has spent in the database, and of these in recommending."""

    def __init__(self):
        self.database = self.recommending = 0.0


class Store:
    def __init__(self, path, extension):
        self.path, self.extension, self.local = path, extension, threading.local()

    def connection(self):
        """This thread's own, opened when it first asks (so after a fork)."""
        db = getattr(self.local, "db", None)
        if db is None or self.local.process != os.getpid():
            db = sqlite3.connect(self.path, isolation_level=None, timeout=10)
            db.row_factory = sqlite3.Row
            db.enable_load_extension(True)
            db.load_extension(self.extension)
            db.enable_load_extension(False)
            db.execute("PRAGMA synchronous = NORMAL")
            self.local.db, self.local.process = db, os.getpid()
        return db

    @property
    def clock(self):
        if not hasattr(self.local, "clock"):
            self.local.clock = Clock()
        return self.local.clock

    def new_clock(self):
        self.local.clock = Clock()

    def ask(self, sql, values=(), recommending=False):
        began = time.perf_counter()
        rows = self.connection().execute(sql, values).fetchall()
        took = time.perf_counter() - began
        self.clock.database += took
        self.clock.recommending += took if recommending else 0
        return rows

    # ---- shelves ----

    def _list(self, model, condition, visit, k, reason=False, item=None, basket=(), **options):
        """The first k of a model's list by a condition on :user, :item or :basket, without what is in the cart."""
        values = {"k": k, "exclude": json.dumps(sorted({*visit.cart, *filter(None, [item])})), "options": json.dumps(options),
                  "user": visit.customer, "item": item, "basket": json.dumps(list(dict.fromkeys(basket))[:20])}
        return self.ask(ASK.format(model=model, condition=condition, reason=REASON if reason else "NULL"), values, recommending=True)

    def _first(self, visit, condition, k, basket=(), **options):
        """The list of who asks: as the model has it, or where the experiment says so in the learnt order."""
        values = {"user": visit.customer, "basket": json.dumps(list(dict.fromkeys(basket))[:20]), "options": json.dumps(options), "k": k, "exclude": json.dumps(sorted(visit.cart))}
        arm = self.ask(f"SELECT arm FROM recs r WHERE {condition} AND k = 1 AND options = :options", values, recommending=True)
        if arm and arm[0]["arm"] == "ordered":
            try:
                return self.ask(ORDERED.replace("{condition}", condition), values, recommending=True)
            except sqlite3.OperationalError:  # ordering.sql has not run yet
                logging.getLogger(__name__).exception("the learnt order")
        return self._list("recs", condition, visit, k, reason=True, basket=basket, **options)

    def for_you(self, visit, k=8):
        """By her purchases, which the page reads now; somebody without an account by her cart and what she looked at. The arm of the
        experiment is hers wherever she asks."""
        if visit.customer is not None:
            items = self._first(visit, "r.user = :user", k)
        else:
            items = self._first(visit, "r.basket = :basket", k, basket=[*visit.cart, *visit.looked_at], unit=visit.visitor)
        known = visit.customer is not None or visit.cart or visit.looked_at
        return Shelf("For you" if known else "What most customers like", items, uuid.uuid4().hex, "home")

    def because_you(self, visit, k=8):
        """From the latest thing that she looked at, or else bought."""
        code, did = (visit.looked_at[0], "looked at") if visit.looked_at else (self.latest_purchase(visit), "bought")
        product = code and self.product(code)
        if not product:
            return None
        items = self._list("recs", "r.similar_to = :item", visit, k, item=code)
        return Shelf(f"Because you {did} {title(product['name'])}", items, uuid.uuid4().hex, "because") if items else None

    def trending(self, visit, k=8):
        items = self._list("trending", "r.basket = '[]'", visit, k)
        return Shelf("Trending this week", items, uuid.uuid4().hex, "trending")

    def goes_with(self, code, visit, k=8):
        return Shelf("Goes with it", self._list("recs", "r.similar_to = :item", visit, k, item=code), uuid.uuid4().hex, "product")

    def more_like(self, code, visit, k=8):
        return Shelf("More like this", self._list("alike", "r.similar_to = :item", visit, k, item=code), uuid.uuid4().hex, "alike")

    def goes_with_cart(self, visit, k=8):
        return Shelf("Goes with your cart", self._list("recs", "r.basket = :basket", visit, k, basket=visit.cart), uuid.uuid4().hex, "cart")

    def search(self, text, visit):
        words = " ".join('"' + word.replace('"', '""') + '"*' for word in text.replace("\0", " ").split()[:12])
        if not words:
            return Shelf("", [])
        items = self.ask(SEARCH, {"words": words, "customer": visit.customer}, recommending=True)
        if not items:  # no product has every word: any of them
            items = self.ask(SEARCH, {"words": words.replace('* "', '* OR "'), "customer": visit.customer}, recommending=True)
        return Shelf("", items, uuid.uuid4().hex, "search")

    # ---- products, customers ----

    def product(self, code):
        rows = self.ask("SELECT * FROM catalogue WHERE stock_code = ?", (code,))
        return rows[0] if rows else None

    def products(self, codes):
        rows = self.ask("SELECT * FROM catalogue WHERE stock_code IN (SELECT value FROM json_each(?))", (json.dumps(list(codes)),))
        return {row["stock_code"]: row for row in rows}

    def latest_purchase(self, visit):
        rows = self.ask("""SELECT e.stock_code FROM events e JOIN catalogue USING (stock_code)
                            WHERE e.customer_id = ? AND e.quantity > 0 ORDER BY e.bought_at DESC LIMIT 1""", (visit.customer,))
        return rows[0][0] if rows else None

    def customer(self, number):
        rows = self.ask("SELECT * FROM customers WHERE customer_id = ?", (number,))
        return rows[0] if rows else None

    def some_customers(self):
        return self.ask("""SELECT c.customer_id, c.country, count(DISTINCT e.invoice) AS orders FROM customers c JOIN events e USING (customer_id)
                            WHERE c.customer_id IN (12388, 12347, 14911, 17841, 13694, 16746) GROUP BY 1 ORDER BY 1""")

    # ---- what she does ----

    def buy(self, visit, invoice):
        """The order, her history, and the outcome of the lists that she was shown, in one transaction. False: that order is there already."""
        db, now, products = self.connection(), int(time.time()), self.products(visit.cart)
        db.execute("BEGIN IMMEDIATE")
        try:
            before = db.execute("SELECT customer_id FROM orders WHERE invoice = ?", (invoice,)).fetchone()
            if before:
                db.execute("ROLLBACK")
                return False
            if visit.customer is None:
                visit.customer = db.execute("INSERT INTO customers(country) VALUES('United Kingdom') RETURNING customer_id").fetchone()[0]
            db.execute("INSERT INTO orders VALUES(?, ?, ?, 0)", (invoice, visit.customer, now))
            for code, pieces in visit.cart.items():
                price = products[code]["price"]
                db.execute("INSERT INTO events(invoice, customer_id, stock_code, quantity, price, bought_at) VALUES(?, ?, ?, ?, ?, ?)",
                           (invoice, visit.customer, code, pieces, price, now))
                db.execute("INSERT INTO recs(recs, arg) VALUES('outcome', ?)",
                           (json.dumps({"user": visit.unit, "item": code, "kind": "purchase", "value": pieces * price}),))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return True

    def merge(self, visitor, customer):
        """What she was shown before she signed in is hers."""
        self.connection().execute("INSERT INTO recs(recs, arg) VALUES('merge-user', ?)", (json.dumps({"from": visitor, "to": customer}),))


def title(name):
    """REGENCY CAKESTAND 3 TIER as a page writes it."""
    small = {"OF", "AND", "WITH", "IN", "THE", "ON", "FOR", "A", "TO"}
    words = name.split()
    return " ".join(word.lower() if word in small and i else word.capitalize() if word.isalpha() else word.title() if "-" in word else word.capitalize()
                    for i, word in enumerate(words))
