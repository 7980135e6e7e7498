"""docs/migration.md: its examples are run beside the real sqlite-vec and sqlite-vss, and their answers are compared on more data.

The packages are looked for in BUILD/peers and fetched there by pip where they are not; what cannot be had is skipped with a word."""
import difflib, math, os, sqlite3, sys, unittest

import numpy

from support import EXTENSION, equal, fetched, one, refused, rows, same_rows

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import docs_examples  # noqa: E402 -- how the blocks of a page are found, and the shell

PAGE = os.path.join(HERE, "..", "..", "docs", "migration.md")
VEC, VSS = ("sqlite-vec==0.1.9", ("vec0",), "vec_version"), ("sqlite-vss==0.1.2", ("vector0", "vss0"), "vss_version")


def peer(package, libraries, version):
    """The paths of a peer's libraries, or a skipped test."""
    folder = os.path.join(fetched(package), package.split("==")[0].replace("-", "_"))
    paths = [os.path.join(folder, library) for library in libraries]
    said = docs_examples.shell(":memory:", "".join(f".load {path}\n" for path in paths) + f"SELECT {version}();\n", HERE)  # another process: an AVX2 build may crash
    if said.strip() != "v" + package.split("==")[1]:
        raise unittest.SkipTest(f"{package} is not to be had")
    return paths


def both(paths):
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.enable_load_extension(True)
    for path in [*paths, EXTENSION]:
        db.load_extension(path)
    return db


def part(first, last=None):
    """The page from one heading to another."""
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    begin = text.index(f"\n## {first}\n")
    return text[begin:text.index(f"\n## {last}\n", begin)]


def check(text, paths, folder):
    """The blocks of a part in one session of the shell, both extensions loaded; what is printed is what the page says."""
    blocks = list(docs_examples.BLOCK.finditer(text))
    script = "".join(f".load {path}\n" for path in [*paths, EXTENSION])
    for number, block in enumerate(blocks):
        script += f".print @@{number}@@\n{block[1]}"
    printed = docs_examples.shell(":memory:", script + f".print @@{len(blocks)}@@\n", folder)
    printed = docs_examples.re.sub(r"^((?:Runtime|Parse) error|Error:?) near line \d+", r"\1", printed, flags=docs_examples.re.M)
    for number, block in enumerate(blocks):
        begin, end = printed.find(f"@@{number}@@\n"), printed.find(f"@@{number + 1}@@\n")
        assert 0 <= begin < end, f"block {number + 1} does not end: a statement is not finished\n{block[1]}"
        got, said = printed[begin + len(f"@@{number}@@\n"):end], block[2] or ""
        assert got == said, f"block {number + 1}:\n{block[1]}" + "\n".join(difflib.unified_diff(said.splitlines(), got.splitlines(), "the page says", "the shell prints", lineterm=""))
    return len(blocks)


def test_the_examples_of_sqlite_vec(shop):
    assert check(part("From sqlite-vec", "From sqlite-vss"), peer(*VEC), shop.folder) >= 8


def test_the_examples_of_sqlite_vss(shop):
    assert check(part("From sqlite-vss", "When all is copied"), peer(*VSS), shop.folder) >= 4


def fill(db, n, dim, seed=1):
    """One table of vectors, and two copies of it by the page's statements."""
    draw = numpy.random.default_rng(seed)
    db.execute("CREATE TABLE made(id INTEGER PRIMARY KEY, v BLOB, shelf INTEGER, kind TEXT, price REAL)")
    vectors = draw.normal(size=(n, dim)).astype("<f4")
    db.executemany("INSERT INTO made VALUES(?, ?, ?, ?, ?)", [(i, v.tobytes(), i % 4, "abc"[i % 3], float(i % 97)) for i, v in enumerate(vectors, 1)])
    return draw.normal(size=(12, dim)).astype("<f4")


def agree(db, new, old, *arguments, what=""):
    """The same rows in the same order; the peers' sums are in float32, so nearly equal distances may change places."""
    a, b = rows(db, new, *arguments), rows(db, old, *arguments)
    equal(len(a), len(b), what)
    for (id, distance), (other, theirs) in zip(a, b):
        assert math.isclose(distance, theirs, rel_tol=1e-5, abs_tol=1e-5), f"{what}: row {id} at {distance}, theirs {other} at {theirs}"
    same_rows([id for id, _ in a[:-1]], [id for id, _ in b[:-1]], what)  # the last may be one of a near tie
    return len(a)


def test_sqlite_vec_gives_the_same_answers(shop):
    paths = peer(*VEC)
    for metric in ("l2", "cosine"):
        db = both(paths)
        queries = fill(db, 1500, 48)
        db.execute(f"CREATE VIRTUAL TABLE old USING vec0(id integer primary key, v float[48] distance_metric={metric}, shelf integer partition key, kind text, price float)")
        db.execute("INSERT INTO old(id, v, shelf, kind, price) SELECT * FROM made")
        db.execute(f"CREATE VIRTUAL TABLE new USING rec_index(v float[48], shelf integer, kind text, price real, metric={metric})")
        db.execute("INSERT INTO new(rowid, v, shelf, kind, price) SELECT id, v, shelf, kind, price FROM old")
        equal(one(db, "SELECT count(*) FROM made m JOIN new n ON n.rowid = m.id WHERE n.v = m.v AND n.shelf = m.shelf AND n.kind = m.kind AND n.price = m.price"), 1500, "copied bit for bit")
        found = 0
        for query in queries:
            for condition in ("1", "shelf = 2", "kind = 'b'", "kind IN ('a', 'c')", "price > 40", "price BETWEEN 10 AND 20", "shelf = 1 AND kind = 'a' AND price <= 60", "{id} IN (SELECT id FROM made WHERE id % 7 = 1)", "shelf = 77"):
                for k in (1, 10, 400):
                    found += agree(db, f"SELECT rowid, distance FROM new WHERE v MATCH ? AND k = {k} AND {condition.format(id='rowid')}", f"SELECT id, distance FROM old WHERE v MATCH ? AND k = {k} AND {condition.format(id='id')}", query.tobytes(), what=f"{metric}, k = {k}, {condition}")
            for k in (1, 10):  # the page: k rows of each partition there, k rows here
                agree(db, f"SELECT rowid, distance FROM new WHERE v MATCH ? AND k = {k} AND shelf IN (1, 3)", f"WITH found AS MATERIALIZED (SELECT id, distance FROM old WHERE v MATCH ? AND k = {k} AND shelf IN (1, 3)) SELECT * FROM found ORDER BY distance LIMIT {k}", query.tobytes(), what=f"{metric}: partitions")
            bound = one(db, "SELECT distance FROM new WHERE v MATCH ? AND k = 30 AND rank = 30", query.tobytes())
            equal(abs(len(rows(db, "SELECT rowid FROM new WHERE v MATCH ? AND distance <= ?", query.tobytes(), bound)) - len(rows(db, "SELECT id FROM old WHERE v MATCH ? AND k = 100 AND distance <= ?", query.tobytes(), bound))) <= 1, True, "a bound on the distance")
        assert found > 20000, found
        db.execute("CREATE VIRTUAL TABLE back USING vec0(id integer primary key, v float[48])")
        db.execute("INSERT INTO back(id, v) SELECT rowid, v FROM new")
        equal(one(db, "SELECT count(*) FROM back b JOIN made m ON m.id = b.id WHERE b.v = m.v"), 1500, "and back again")


def test_sqlite_vec_with_a_text_key_gives_the_same_answers(shop):
    db = both(peer(*VEC))
    queries = fill(db, 500, 16)
    db.execute("CREATE VIRTUAL TABLE old USING vec0(sku text primary key, v float[16])")
    db.execute("INSERT INTO old(sku, v) SELECT 'sku-' || id, v FROM made")
    db.execute("CREATE VIRTUAL TABLE new USING rec_index(sku text primary key, v float[16], metric=l2)")
    db.execute("INSERT INTO new(sku, v) SELECT sku, v FROM old")
    for sql, arguments in ((None, ()), ("DELETE FROM {} WHERE sku = ?", ("sku-3",)), ("UPDATE {} SET v = ? WHERE sku = ?", (queries[0].tobytes(), "sku-4")), ("INSERT INTO {}(sku, v) VALUES(?, ?)", ("sku-3", queries[1].tobytes()))):
        for table in ("old", "new"):
            if sql:
                db.execute(sql.format(table), arguments)
        for query in queries:
            agree(db, "SELECT sku, distance FROM new WHERE v MATCH ? AND k = 20", "SELECT sku, distance FROM old WHERE v MATCH ? AND k = 20", query.tobytes(), what=f"after {sql}")
    equal(rows(db, "SELECT sku, v FROM new ORDER BY sku"), rows(db, "SELECT sku, v FROM old ORDER BY sku"))


def test_sqlite_vecs_functions_give_the_same_numbers(shop):
    db = both(peer(*VEC))
    draw = numpy.random.default_rng(3)
    for dim in (1, 2, 7, 64, 333):
        for _ in range(20):
            a, b = (draw.normal(size=dim).astype("<f4").tobytes() for _ in range(2))
            for ours, theirs in (("rec_l2(?1, ?2)", "vec_distance_l2(?1, ?2)"), ("rec_l1(?1, ?2)", "vec_distance_l1(?1, ?2)"), ("1 - rec_cosine(?1, ?2)", "vec_distance_cosine(?1, ?2)")):
                x, y = rows(db, f"SELECT {ours}, {theirs}", a, b)[0]
                assert math.isclose(x, y, rel_tol=2e-5, abs_tol=2e-6), f"{ours} = {x}, {theirs} = {y}, {dim} elements"
            for ours, theirs in (("rec_vec_add(?1, ?2)", "vec_add(?1, ?2)"), ("rec_vec_sub(?1, ?2)", "vec_sub(?1, ?2)"), ("rec_vec(?2)", "vec_f32(?2)"), ("rec_vec_slice(?1, 0, (rec_vec_dim(?2) + 1) / 2)", "vec_slice(?1, 0, (vec_length(?2) + 1) / 2)")):
                equal(*rows(db, f"SELECT {ours}, {theirs}", a, b)[0], f"{ours} and {theirs}")
            x, y = (numpy.frombuffer(v, "<f4") for v in rows(db, "SELECT rec_vec_normalize(?1), vec_normalize(?1)", a)[0])
            assert numpy.allclose(x, y, rtol=1e-6, atol=1e-7)
            listed = [value for value, in rows(db, "SELECT value FROM json_each(rec_vec_json(?))", a)]
            equal(numpy.array(listed, "<f4").tobytes(), a, "json_each of rec_vec_json is vec_each")


def test_sqlite_vss_gives_the_same_answers(shop):
    db = both(peer(*VSS))
    queries = fill(db, 600, 16)
    db.execute("CREATE VIRTUAL TABLE old USING vss0(a(16), b(16) metric_type=INNER_PRODUCT)")
    db.execute("INSERT INTO old(rowid, a, b) SELECT id, v, v FROM made")
    db.execute("CREATE VIRTUAL TABLE new_a USING rec_index(v float[16], metric=l2)")
    db.execute("CREATE VIRTUAL TABLE new_b USING rec_index(v float[16], metric=ip)")
    db.execute("INSERT INTO new_a(rowid, v) SELECT rowid, a FROM old")
    db.execute("INSERT INTO new_b(rowid, v) SELECT rowid, b FROM old")
    equal(one(db, "SELECT count(*) FROM made m JOIN new_a a ON a.rowid = m.id JOIN new_b b ON b.rowid = m.id WHERE a.v = m.v AND b.v = m.v"), 600)
    for query in queries:
        agree(db, "SELECT rowid, distance * distance FROM new_a WHERE v MATCH ? AND k = 20", "SELECT rowid, distance FROM old WHERE vss_search(a, vss_search_params(?, 20))", query.tobytes(), what="L2: the square")
        agree(db, "SELECT rowid, score FROM new_b WHERE v MATCH ? AND k = 20", "SELECT rowid, distance FROM old WHERE vss_search(b, vss_search_params(?, 20))", query.tobytes(), what="inner product: the score")
        x, y = rows(db, "SELECT rec_l2(?1, ?2) * rec_l2(?1, ?2), vss_distance_l2(?1, ?2)", query.tobytes(), queries[0].tobytes())[0]
        assert math.isclose(x, y, rel_tol=1e-5, abs_tol=1e-6), (x, y)


def test_the_page_names_what_exists(shop):
    """Every rec_ function and every factory of the page, also those in its tables."""
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    db = shop.connect()
    known = {name for name, in rows(db, "SELECT name FROM pragma_function_list WHERE name LIKE 'rec!_%' ESCAPE '!'")} | {name for name, in rows(db, "SELECT name FROM pragma_module_list WHERE name LIKE 'rec!_%' ESCAPE '!'")}
    named = set(docs_examples.re.findall(r"\brec_[a-z0-9_]+", text))
    assert named and named <= known, named - known
    for number, factory in enumerate(sorted(set(docs_examples.re.findall(r"index='([^']+)'", text)))):
        db.execute(f"CREATE VIRTUAL TABLE i{number} USING rec_index(e float[768], index='{factory}')")
    for name in docs_examples.re.search(r"hidden one: ([^.]*)\.", text)[1].replace("`", "").replace("\n", " ").split(", "):
        refused(db, f"CREATE VIRTUAL TABLE x USING rec_index(e float[2], {name.strip()} text)", says="taken")
