"""load() and connect(): the connections that people have, and those that cannot."""
import asyncio
import importlib
import os
import sqlite3
import subprocess
import sys
import types
import unittest

import sqlite_recommend

EVENTS = "CREATE TABLE events(user INTEGER, item INTEGER); " + "".join(f"INSERT INTO events VALUES({u}, {(u * 3 + i) % 11});" for u in range(30) for i in range(4))
MODEL = "CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item)"
ASK = "SELECT item FROM m WHERE user = 3 AND k = 3"


def needs(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        raise unittest.SkipTest(f"{name} is not there")


def answers(execute):
    """What a connection answers, by its way to run a statement and fetch all."""
    for sql in [*EVENTS.split(";")[:-1], MODEL, "INSERT INTO m(m) VALUES('train')"]:
        execute(sql)
    return [tuple(row) for row in execute(ASK)]


def expected():
    db = sqlite_recommend.load(sqlite3.connect(":memory:"))
    return answers(lambda sql: db.execute(sql).fetchall())


def test_sqlite3(folder):
    assert len(expected()) == 3
    db = sqlite3.connect(":memory:")
    assert sqlite_recommend.load(db) is db and sqlite_recommend.load(db) is db
    try:
        db.execute("SELECT load_extension('x')")
    except sqlite3.OperationalError as error:
        assert "not authorized" in str(error)
    else:
        raise AssertionError("SQL may load further extensions")


def test_apsw(folder):
    db = sqlite_recommend.load(needs("apsw").Connection(":memory:"))
    assert answers(lambda sql: db.cursor().execute(sql).fetchall()) == expected()


def test_sqlalchemy_every_connection_of_an_engine(folder):
    sqlalchemy = needs("sqlalchemy")
    engine = sqlite_recommend.load(sqlalchemy.create_engine(f"sqlite:///{folder}/a.db"))
    with engine.begin() as connection:
        def execute(sql):
            done = connection.execute(sqlalchemy.text(sql))
            return done.fetchall() if done.returns_rows else []
        assert answers(execute) == expected()
    engine.dispose()
    with engine.connect() as connection:
        assert len(connection.execute(sqlalchemy.text(ASK)).fetchall()) == 3


def test_sqlalchemy_asynchronous(folder):
    needs("aiosqlite"), needs("greenlet")
    sqlalchemy, asynchronous = needs("sqlalchemy"), needs("sqlalchemy.ext.asyncio")

    async def ask():
        engine = sqlite_recommend.load(asynchronous.create_async_engine(f"sqlite+aiosqlite:///{folder}/a.db"))
        async with engine.connect() as connection:
            found = (await connection.execute(sqlalchemy.text("SELECT rec_dot('[1,2]', '[3,4]')"))).scalar()
        await engine.dispose()
        return found
    try:
        assert asyncio.run(ask()) == 11
    except AttributeError as error:
        if "run_async" in str(error) or "enable_load_extension" in str(error):
            raise unittest.SkipTest(f"this SQLAlchemy ({sqlalchemy.__version__}) does not show its aiosqlite connection")
        raise


def test_aiosqlite(folder):
    aiosqlite = needs("aiosqlite")

    async def ask():
        async with aiosqlite.connect(":memory:") as db:
            assert await sqlite_recommend.load(db) is db
            for sql in [*EVENTS.split(";")[:-1], MODEL, "INSERT INTO m(m) VALUES('train')"]:
                await db.execute(sql)
            return [tuple(row) for row in await (await db.execute(ASK)).fetchall()]
    assert asyncio.run(ask()) == expected()


DJANGO = """
import sys, django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}}, INSTALLED_APPS=["sqlite_recommend.django"], USE_TZ=True)
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    for sql in sys.argv[2].split(";"):
        cursor.execute(sql)
    print(cursor.execute(sys.argv[3]).fetchall())
connection.close()
with connection.cursor() as cursor:
    print(cursor.execute("SELECT rec_dot('[1,2]', '[3,4]')").fetchall())
"""


def test_django(folder):
    needs("django")
    done = subprocess.run([sys.executable, "-c", DJANGO, f"{folder}/a.db", f"{EVENTS}{MODEL};INSERT INTO m(m) VALUES('train')", ASK], capture_output=True, text=True)
    assert done.stdout == f"{expected()}\n[(11.0,)]\n", done.stderr[-300:]


def test_a_python_without_extensions_says_what_helps(folder):
    class Connection:
        pass
    try:
        sqlite_recommend.load(Connection())
    except sqlite_recommend.CannotLoad as error:
        assert "cannot load extensions" in str(error) and "sqlite_recommend.connect()" in str(error)
    else:
        raise AssertionError("loaded into nothing")


def test_connect_takes_another_sqlite_where_the_interpreters_cannot(folder):
    """A module that plays pysqlite3, and an sqlite3 that is too old or loads nothing."""
    class Mute:
        pass
    other = types.ModuleType("pysqlite3")
    other.Connection, other.sqlite_version_info, other.connect, other.register_adapter = sqlite3.Connection, (3, 51, 0), sqlite3.connect, sqlite3.register_adapter
    for mine in ({"Connection": Mute, "sqlite_version_info": (3, 45, 0)}, {"Connection": sqlite3.Connection, "sqlite_version_info": (3, 37, 2)}):
        mute = types.ModuleType("sqlite3")
        mute.__dict__.update(mine)
        before = sys.modules["sqlite3"]
        try:
            sys.modules["sqlite3"], sys.modules["pysqlite3"] = mute, other
            assert sqlite_recommend.connect(":memory:").execute("SELECT rec_dot('[1]', '[2]')").fetchone() == (2,)
            sys.modules["pysqlite3"] = sys.modules["sqlean"] = None
            try:
                sqlite_recommend.connect(":memory:")
            except sqlite_recommend.CannotLoad as error:
                assert "sqlite-recommend[connect]" in str(error)
            else:
                raise AssertionError("connected without an SQLite")
        finally:
            sys.modules["sqlite3"] = before
            sys.modules.pop("pysqlite3"), sys.modules.pop("sqlean", None)


def test_the_path_is_for_the_shell(folder):
    path = sqlite_recommend.loadable_path()
    assert os.path.exists(path + ".so")
    done = subprocess.run(["sqlite3", "-cmd", f".load {path}", ":memory:", "SELECT rec_dot('[1,2]', '[3,4]')"], capture_output=True, text=True)
    assert done.stdout == "11.0\n", done.stderr


def test_the_demo_says_what_is_there_and_leaves_a_shop(folder):
    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "sqlite_recommend", *arguments], capture_output=True, text=True)
    done = run("info")
    assert done.returncode == 0 and f"sqlite-recommend {sqlite_recommend.__version__}" in done.stdout and "loads extensions" in done.stdout, done
    done = run("demo", f"{folder}/shop.db")
    assert done.returncode == 0 and "SET OF 60 PANTRY DESIGN CAKE CASES" in done.stdout and "404,909 lines" in done.stdout, done
    ours, popular = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("  recs ", "  popular "))]
    assert float(ours) > 2 * float(popular) > 0
    db = sqlite_recommend.connect(f"{folder}/shop.db")
    assert len(db.execute("SELECT item FROM recs WHERE user = 12388 AND k = 5").fetchall()) == 5
    again = run("demo", f"{folder}/shop.db")
    assert again.returncode == 1 and "has a table products already" in again.stdout, again
    assert run("path").stdout.strip() == sqlite_recommend.loadable_path() and run("nonsense").returncode == 2
