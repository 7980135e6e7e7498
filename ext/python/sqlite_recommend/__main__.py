"""What is there, and a demo.

    python -m sqlite_recommend               what is there, then the demo in memory
    python -m sqlite_recommend info          what is there
    python -m sqlite_recommend demo [FILE]   the demo; FILE is made and kept, to go on with
    python -m sqlite_recommend path          the extension's path, for .load of the sqlite3 shell and for other languages"""
import importlib
import sys
import time

from . import CannotLoad, __version__, connect, loadable_path, progress
from ._load import LEAST_SQLITE, _able
from .sample import load_shop

ASK = """SELECT r.rank, p.name, printf('%.2f', p.price) AS price,
                (SELECT name FROM products WHERE stock_code = r.because ->> '$.items[0].item') AS because_of
           FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.user = 12388 AND r.k = 5 ORDER BY r.rank"""
CART = """SELECT r.rank, p.name, printf('%.2f', p.price) AS price
            FROM recs r JOIN products p ON p.stock_code = r.item WHERE r.basket = '["85123A","71053"]' AND r.k = 3 ORDER BY r.rank"""
JUDGE = """SELECT model, printf('%.3f', value) AS "ndcg@10", printf('%.3f to %.3f', ci_low, ci_high) AS "95 % interval", users
             FROM rec_evaluate('recs', 'bought_new', '{"version": 2}') WHERE metric = 'ndcg' AND k = 10"""
LAST_MONTH = 1320796800  # 2011-11-09


def info():
    print(f"sqlite-recommend {__version__}\n  extension  {loadable_path()}.so\n  Python     {sys.version.split()[0]}, {sys.executable}")
    for name in ("sqlite3", "pysqlite3", "sqlean"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        able = "loads extensions" if _able(module) else "is older than 3.38" if module.sqlite_version_info < LEAST_SQLITE else "loads no extensions"
        print(f"  {name:10} SQLite {module.sqlite_version}, {able}")
    try:
        db = connect(":memory:")
        print("  loaded     " + ", ".join(f"{key} {value}" for key, value in db.execute("SELECT key, value FROM rec_info WHERE key IN ('sqlite', 'faiss', 'openblas', 'simd', 'threads')")))
    except CannotLoad as error:
        print(f"  not loaded: {error}")
        return 1
    return 0


def show(db, title, sql):
    cursor = db.execute(sql)
    table = [[column[0] for column in cursor.description]] + [["" if value is None else str(value) for value in row] for row in cursor]
    wide = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    print(f"\n{title}")
    for row in table:
        print("  " + "  ".join(value.ljust(width) for value, width in zip(row, wide)).rstrip())


def demo(file):
    db = connect(file)
    if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'products'").fetchone()[0]:
        print(f"{file} has a table products already")
        return 1
    began = time.time()
    load_shop(db)
    print(f"The sample shop, a UK gift shop's year: {db.execute('SELECT count(*) FROM purchases').fetchone()[0]:,} lines, loaded in {time.time() - began:.1f} s.")
    db.execute("CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at)")
    began = time.time()
    with progress(db):
        db.execute("INSERT INTO recs(recs) VALUES('train')")
    print(f"A model: CREATE VIRTUAL TABLE recs USING rec_model(...) and INSERT INTO recs(recs) VALUES('train'): {time.time() - began:.1f} s.")
    show(db, "For customer 12388, and why:   SELECT ... FROM recs WHERE user = 12388 AND k = 5", ASK)
    show(db, """Goes with a cart:   ... WHERE basket = '["85123A","71053"]' AND k = 3   (a white heart holder, a white lantern)""", CART)
    db.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", (f'{{"until": {LAST_MONTH}, "activate": "never"}}',))
    history = "SELECT customer_id, stock_code FROM purchases WHERE bought_at {} GROUP BY 1, 2 HAVING sum(quantity) > 0"
    db.execute(f"CREATE VIEW bought_new AS {history.format(f'>= {LAST_MONTH}')} EXCEPT {history.format(f'< {LAST_MONTH}')}")
    show(db, "Is it any good? Trained on what came before the last month, judged on what was bought new in it:", JUDGE)
    db.commit()
    if file != ":memory:":
        print(f"\nGo on with it:   sqlite3 -cmd '.load {loadable_path()}' {file}   (SELECT * FROM rec_help)")
    return 0


def main(arguments):
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command == "path":
        print(loadable_path())
        return 0
    if command == "info":
        return info()
    if command == "demo" and len(rest) < 2:
        return demo(rest[0] if rest else ":memory:")
    if command:
        print(__doc__)
        return 2
    return info() or print() or demo(":memory:")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
