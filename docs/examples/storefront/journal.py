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
        """A statement for each kind, whatever the number of entries: between two statements a thread waits for Python's lock, and with it
        everybody who wants to write. All of them or none."""
        told = [(kind, json.dumps(value)) for kind, value, _ in entries if kind != "clicks"]
        seen = [value for kind, value, _ in entries if kind == "clicks"]
        db.execute("SAVEPOINT entries")
        try:
            if told:
                db.execute("INSERT INTO recs(recs, arg) SELECT value ->> 0, value ->> 1 FROM json_each(?)", (json.dumps(told),))
            if seen:
                db.execute("INSERT INTO clicks SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)", (json.dumps(seen),))
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK TO entries")
                db.execute("RELEASE entries")
            raise
        db.execute("RELEASE entries")

    @classmethod
    def _insert_what_is_taken(cls, db, entries):
        """Lists and visits together; clicks together, and one by one where one of them is refused: it names a list that another process
        has not written yet, or one that never was. Those come again."""
        outcomes = [entry for entry in entries if entry[0] == "outcome"]
        cls._insert(db, [entry for entry in entries if entry[0] != "outcome"])
        again = []
        for group in ([e for e in outcomes if e[2] == TRIES], *([e] for e in outcomes if e[2] < TRIES)):
            again += cls._insert_or_singly(db, group)
        return again

    @classmethod
    def _insert_or_singly(cls, db, group):
        try:
            cls._insert(db, group)
            return []
        except sqlite3.Error:
            if not db.in_transaction:
                raise
            if len(group) == 1:
                kind, value, tries = group[0]
                return [(kind, value, tries - 1)] if tries > 1 else []
            return [entry for one in group for entry in cls._insert_or_singly(db, [one])]

    def _write_batch(self, entries):
        """In one transaction. All are tried again where it fails (somebody trains), and so is one that is refused (a click on a list that
        another process has not written yet)."""
        db, again = None, []
        try:
            db = self.store.connection()
            db.execute("BEGIN IMMEDIATE")
            again = self._insert_what_is_taken(db, entries)
            db.execute("COMMIT")
        except sqlite3.Error:
            if db is not None and db.in_transaction:
                db.execute("ROLLBACK")
            again = entries
            logging.getLogger(__name__).warning("the journal waits: %d entries", len(entries))
        for entry in again:
            self.queue.put(entry)
