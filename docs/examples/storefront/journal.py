"""What was shown and clicked, written in batches by a thread of its own, so that no page waits for the disk and the database's one writer
has thirty times less to do. A crash loses what the last half second showed; orders are not written here."""
import atexit
import json
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
        if self.process != os.getpid():  # after a fork
            self.process, self.queue = os.getpid(), queue.SimpleQueue()
            threading.Thread(target=self._write, daemon=True).start()
            atexit.register(self.flush)
        self.queue.put((kind, value, TRIES))

    def _write(self):
        while True:
            time.sleep(EVERY)
            self.flush()

    def flush(self):
        """Write what is there, in one transaction; what is refused (a list that is not there yet) is tried again."""
        entries = []
        while not self.queue.empty():
            entries.append(self.queue.get())
        if not entries:
            return
        db = self.store.connection()
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # somebody trains: another time
            for entry in entries:
                self.queue.put(entry)
            return
        for kind, value, tries in entries:
            try:
                if kind == "clicks":
                    db.execute("INSERT INTO clicks VALUES(?, ?, ?, ?)", value)
                else:
                    db.execute("INSERT INTO recs(recs, arg) VALUES(?, ?)", (kind, json.dumps(value)))
            except sqlite3.Error:
                if tries > 1:
                    self.queue.put((kind, value, tries - 1))
        db.execute("COMMIT")
