"""What was shown and clicked, written in batches by a thread of its own, so that no page waits for the disk and the database's one writer
has thirty times less to do. A crash loses what the last half second showed; orders are not written here."""
import atexit
import json
import logging
import os
import queue
import sqlite3
import threading
import time

EVERY = 0.5  # seconds
TRIES = 10   # a click may come to another process before the list that it names has been written


class Journal:
    def __init__(self, store):
        self.store, self.queue, self.process = store, queue.SimpleQueue(), None
        self.starting, self.writing = threading.Lock(), threading.Lock()

    def shown(self, visit, shelf):
        items = [{"item": row["item"], "rank": row["rank"], "version": row["version"]} for row in shelf.items]
        if not items:
            return
        arm = shelf.items[0]["arm"] if shelf.scenario == "home" else None
        self._put("shown", {"list": shelf.list_id, "user": visit.unit, "scenario": shelf.scenario, "at": time.time(), "items": items, **({"arm": arm} if arm else {})})

    def click(self, visit, list_id, code):
        self._put("outcome", {"list": list_id, "item": code, "kind": "click", "at": time.time()})

    def looked_at(self, visit, code):
        self._put("clicks", (visit.visitor, visit.customer, code, int(time.time())))

    def _put(self, kind, value):
        if self.process != os.getpid():
            self._start()
        self.queue.put((kind, value, TRIES))

    def _start(self):
        """A thread of this process's own: threads and locks do not survive a fork."""
        with self.starting:
            if self.process == os.getpid():
                return
            self.queue, self.writing = queue.SimpleQueue(), threading.Lock()
            threading.Thread(target=self._write, daemon=True).start()
            atexit.register(self.flush)
            self.process = os.getpid()

    def _write(self):
        while True:
            time.sleep(EVERY)
            try:
                self.flush()
            except Exception:  # the next batch may fare better
                logging.getLogger(__name__).exception("the journal")

    def flush(self):
        """Write what is there, and wait for a batch that is being written."""
        with self.writing:
            entries = []
            while True:
                try:
                    entries.append(self.queue.get_nowait())
                except queue.Empty:
                    break
            if entries:
                self._write_batch(entries)

    @staticmethod
    def _insert(db, entries):
        """Two statements, whatever the number of entries: between two statements a thread waits for Python's lock, and with it everybody
        who wants to write."""
        told = [(kind, json.dumps(value)) for kind, value, _ in entries if kind != "clicks"]
        db.execute("INSERT INTO recs(recs, arg) SELECT value ->> 0, value ->> 1 FROM json_each(?)", (json.dumps(told),))
        seen = [value for kind, value, _ in entries if kind == "clicks"]
        db.execute("INSERT INTO clicks SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)", (json.dumps(seen),))

    @classmethod
    def _insert_singly(cls, db, entries):
        """Those that were refused, for another time."""
        again = []
        for kind, value, tries in entries:
            try:
                cls._insert(db, [(kind, value, tries)])
            except sqlite3.Error:
                if not db.in_transaction:
                    raise
                if tries > 1:
                    again.append((kind, value, tries - 1))
        return again

    def _write_batch(self, entries):
        """In one transaction. All are tried again where it fails (somebody trains), and so is one that is refused (a click on a list that
        another process has not written yet)."""
        db, again = None, []
        try:
            db = self.store.connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                self._insert(db, entries)
            except sqlite3.Error:
                if not db.in_transaction:
                    raise
                again = self._insert_singly(db, entries)
            db.execute("COMMIT")
        except sqlite3.Error:
            if db is not None and db.in_transaction:
                db.execute("ROLLBACK")
            again = entries
            logging.getLogger(__name__).warning("the journal waits: %d entries", len(entries))
        for entry in again:
            self.queue.put(entry)
