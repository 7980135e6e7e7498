"""Every SQL name is known everywhere: names.py BUILD prints what is missing, and fails if anything is.

rec_help is the list (ext/sqlite/names.def). A name of a function or table must be registered, and
what is registered must be in the list; each has a heading that its page has, stands in the
reference and in a test, and its example runs over the tables that are made here.
"""

import re
import sqlite3
import sys
from pathlib import Path

SHOP = """
CREATE TABLE purchases(customer_id INTEGER, product_code TEXT, bought_at INTEGER);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
    INSERT INTO purchases SELECT i % 20, 'p' || ((i * 7 + i / 20) % 15), 1700000000 + i FROM n;
CREATE TABLE held_out AS SELECT 1 AS customer_id, 'new' AS product_code;
INSERT INTO purchases VALUES(2, 'new', 1700000500);
CREATE VIRTUAL TABLE recs USING rec_model(
    events=purchases, user=customer_id, item=product_code, algorithm=item_knn);
CREATE VIRTUAL TABLE factors USING rec_model(
    events=purchases, user=customer_id, item=product_code, algorithm=ials, factors=4, sweeps=2);
CREATE VIRTUAL TABLE timed USING rec_model(
    events=purchases, user=customer_id, item=product_code, time=bought_at);
INSERT INTO recs(recs) VALUES('train');
INSERT INTO timed(timed) VALUES('train');
INSERT INTO factors(factors) VALUES('train');
CREATE VIRTUAL TABLE near USING rec_index(embedding float[2], index=HNSW8);
INSERT INTO near(rowid, embedding) VALUES(1, '[1, 0]'), (2, '[0, 1]'), (3, '[1, 1]');
CREATE VIRTUAL TABLE tiny USING rec_encoder();
INSERT INTO tiny(tiny, arg) VALUES('load', 'tests/golden/text_encoder');
CREATE TABLE visits(pages INTEGER, country TEXT, bought INTEGER);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)
    INSERT INTO visits SELECT i % 7, CASE i % 3 WHEN 0 THEN 'UK' ELSE 'FR' END, i % 7 > 3 OR i % 11 = 0 FROM n;
CREATE VIRTUAL TABLE buy USING rec_predictor(examples=visits, label=bought);
CREATE VIRTUAL TABLE visitors USING rec_predictor(examples=visits, label=bought, algorithm=tree, depth=2);
INSERT INTO buy(buy) VALUES('train');
INSERT INTO visitors(visitors) VALUES('train');
CREATE TABLE queries(id INTEGER PRIMARY KEY, vector, label);
INSERT INTO queries(vector, label) VALUES('[1, 0]', 1), ('[0, 1]', 0);
"""


def connect(build):
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(str(Path(build, "recommend").resolve()))
    return db


def anchor(heading):
    """The short form that the list uses: the heading's words up to the first punctuation."""
    words = re.sub(r"`", "", heading).strip().lower()
    whole = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
    short = re.split(r"[^\w\- ]", words)[0].strip().replace(" ", "-")
    return {whole, short}


def problems(build):
    db = connect(build)
    db.executescript(SHOP)
    listed = db.execute("SELECT kind, name, example, page FROM rec_help").fetchall()
    names = {name for kind, name, *_ in listed if kind in ("function", "aggregate", "table", "module")}
    there = {
        name
        for table in ("pragma_function_list", "pragma_module_list")
        for (name,) in db.execute(f"SELECT name FROM {table} WHERE name GLOB 'rec_*'")
    }
    for name in sorted(there - names):
        yield f"{name} is registered and not in ext/sqlite/names.def"
    for name in sorted(names - there):
        yield f"{name} is in ext/sqlite/names.def and not registered"
    tests = "\n".join(
        path.read_text(errors="replace")
        for path in Path("tests").rglob("*")
        if path.suffix in (".py", ".sql", ".c") and path.name != "names.py"
    )
    pages = {path.name: path.read_text() for path in Path("docs/reference").glob("*.md")}
    headings = {
        name: set().union(*(anchor(h) for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)), set())
        for name, text in pages.items()
    }
    for kind, name, example, page in listed:
        file, _, heading = page.removeprefix("docs/reference/").partition("#")
        if heading not in headings.get(file, ()):
            yield f"{name}: {page} has no such heading"
        if not re.search(rf"\b{re.escape(name)}\b", pages.get(file, "")):
            yield f"{name} does not stand in docs/reference/{file}"
        if not re.search(rf"\b{re.escape(name)}\b", tests):
            yield f"{name} stands in no test"
        if kind in ("algorithm", "option"):
            continue
        try:
            db.execute(example).fetchall()
        except sqlite3.Error as error:
            yield f"{name}: its example fails: {error}"


def main():
    found = list(problems(sys.argv[1]))
    print("\n".join(found))
    return 1 if found else 0


sys.exit(main())
