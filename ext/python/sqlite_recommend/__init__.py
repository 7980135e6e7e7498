"""sqlite-recommend: recommendations, vector search and their evaluation inside SQLite.

    import sqlite3, sqlite_recommend
    db = sqlite_recommend.load(sqlite3.connect("shop.db"))
    db.execute("CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=stock_code)")
    with sqlite_recommend.progress(db):
        db.execute("INSERT INTO recs(recs) VALUES('train')")
    db.commit()
    db.execute("SELECT item, score FROM recs WHERE user = ? AND k = 10", (12388,)).fetchall()

`SELECT * FROM rec_help` is the manual of the SQL names. `python -m sqlite_recommend` shows what is there and runs a demo."""
from . import files
from ._load import CannotLoad, connect, load, loadable_path
from ._parameters import array, numpy_parameters, vector
from ._progress import progress
from ._version import VERSION as __version__

__all__ = ["CannotLoad", "array", "connect", "files", "load", "loadable_path", "numpy_parameters", "progress", "vector", "__version__"]
