"""sql/recipes: each runs on the sample shop with a model, prints a table, and leaves the shop as it was (but for versions)."""
import glob
import os
import re
import shutil
import subprocess

from support import EXTENSION, equal, one

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RECIPES = sorted(glob.glob(os.path.join(ROOT, "sql", "recipes", "*.sql")))
TABLES = "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE name NOT LIKE 'recs%' AND name NOT LIKE 'sqlite%' AND type IN ('table', 'view') ORDER BY name)"


def sqlite3_shell(path, script):
    return subprocess.run(["sqlite3", "-batch", "-bail", "-cmd", f".load {EXTENSION}", path], input=script, capture_output=True, text=True, cwd=ROOT)


def test_every_recipe_runs_and_prints(shop):
    base, copy = shop.path("base.db"), shop.path("copy.db")
    with open(os.path.join(ROOT, "sql", "shop.sql"), encoding="utf-8") as file:
        made = subprocess.run(["sqlite3", base], stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    equal(made.stderr, "")
    model = "CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, user=customer_id, item=stock_code, weight=quantity, time=bought_at); INSERT INTO recs(recs) VALUES('train');"
    equal(sqlite3_shell(base, model).stderr, "")
    assert len(RECIPES) >= 13
    for path in RECIPES:
        shutil.copy(base, copy)
        with open(path, encoding="utf-8") as file:
            done = sqlite3_shell(copy, file.read())
        name = os.path.basename(path)
        equal((done.returncode, done.stderr), (0, ""), name)
        tables = re.findall(r"^├[─┼]+┤\n((?:│.*\n|├.*\n)+)", done.stdout, re.M)
        assert tables and all(len(line) <= 120 for line in done.stdout.splitlines()), f"{name}\n{done.stdout}"
        before, after = shop.connect("base.db"), shop.connect("copy.db")
        if name != "compare.sql":
            equal(one(after, TABLES), one(before, TABLES), name)
        equal(one(after, "SELECT count(*) FROM events"), one(before, "SELECT count(*) FROM events"), name)
        before.close(), after.close()


def test_the_list_of_recipes_is_whole(shop):
    with open(os.path.join(ROOT, "sql", "recipes", "README.md"), encoding="utf-8") as file:
        listed = re.findall(r"`(\w+\.sql)` \|", file.read())
    equal(sorted(listed), [os.path.basename(path) for path in RECIPES])
