"""docs/examples/storefront: a guest and a customer walk through the shop; what they do is felt at the next page and is in the log."""
import importlib
import os
import re
import subprocess
import sys
import unittest

import sqlite_recommend
from sqlite_recommend.sample import load_shop

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "docs", "examples", "storefront")


def opened(folder):
    """The application over a shop of its own, and a connection to look inside."""
    try:
        importlib.import_module("flask")
    except ImportError:
        raise unittest.SkipTest("flask is not there")
    path = os.path.join(folder, "storefront.db")
    db = sqlite_recommend.connect(path)
    load_shop(db)
    db.close()
    for name, says in (("prepare.sql", "storefront:"), ("ordering.sql", "learnt")):
        with open(os.path.join(FOLDER, name), encoding="utf-8") as script:
            done = subprocess.run(["sqlite3", "-cmd", f".load {sqlite_recommend.loadable_path()}", path], stdin=script, capture_output=True, text=True)
        assert done.returncode == 0 and says in done.stdout and not done.stderr, done
    os.environ["STOREFRONT_DB"] = path
    os.environ.pop("RECOMMEND", None)
    sys.path.insert(0, FOLDER)
    for name in ("app", "store", "journal", "dashboard", "thumbs"):
        sys.modules.pop(name, None)
    app = importlib.import_module("app")
    app.app.config["TESTING"] = True
    return app, sqlite_recommend.connect(path, isolation_level=None)


def shelf(page, scenario):
    """(list id, product) of the cards of a shelf."""
    part = re.search(rf'<section class="shelf" data-scenario="{scenario}"(.*?)</section>', page, re.S)
    return re.findall(r'href="/go/([^/]+)/([^"]+)"', part.group(1)) if part else []


def token(page):
    return re.search(r'name="token" value="(\w+)"', page).group(1)


def test_a_guest_and_a_customer_walk_through_the_shop(folder):
    app, db = opened(folder)
    client = app.app.test_client()
    get = lambda path, code=200: (lambda answer: answer.get_data(as_text=True) if answer.status_code == code else (_ for _ in ()).throw(AssertionError((path, answer.status_code))))(client.get(path))

    first = get("/")
    popular = shelf(first, "home")
    assert len(popular) == 8 and len(shelf(first, "trending")) == 8 and "What most customers like" in first
    # a click: the product's page, and it is felt at the next one
    answer = client.get(f"/go/{popular[0][0]}/{popular[0][1]}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/product/{popular[0][1]}")
    page = get(f"/product/{popular[0][1]}")
    goes_with = [code for _, code in shelf(page, "product")]
    alike = [code for _, code in shelf(page, "alike")]
    assert len(goes_with) == 8 and len(alike) == 8 and goes_with != alike and popular[0][1] not in goes_with + alike
    second = get("/")
    assert "Because you looked at" in second and "For you" in second
    assert [code for _, code in shelf(second, "home")] != [code for _, code in popular]
    # search: words that are whole, begun, and of no product
    assert len(re.findall(r'href="/go/', get("/search?q=red+lantern"))) >= 8 and "Lantern" in get("/search?q=lant")
    assert "Nothing for" in get("/search?q=zzzz") and get("/search?q=%22%27*%28") and get("/search")
    # the cart, the order
    cart = client.post("/cart", data={"code": popular[0][1], "pieces": "2", "add": "1", "token": token(page)}, follow_redirects=True).get_data(as_text=True)
    assert 'value="2"' in cart and popular[0][1] not in [code for _, code in shelf(cart, "cart")] and len(shelf(cart, "cart")) == 8
    with client.session_transaction() as session:
        before = dict(session)
    thanks = client.post("/checkout", data={"token": token(cart)}, follow_redirects=True).get_data(as_text=True)
    with client.session_transaction() as session:
        after = dict(session)
    twice = app.app.test_client()
    with twice.session_transaction() as session:
        session.update(before)
    assert twice.post("/checkout", data={"token": token(cart)}).status_code == 303
    assert db.execute("SELECT count(*) FROM orders WHERE invoice LIKE 'W%'").fetchone() == (1,), "a form that is sent twice is one order"
    assert "cart" not in after or not after["cart"]
    customer, = re.findall(r"customer (\d+)", thanks)[:1]
    assert popular[0][1] not in [code for _, code in shelf(thanks, "home")], "what was just bought is not recommended"
    assert db.execute("SELECT stock_code, quantity FROM events WHERE customer_id = ?", (int(customer),)).fetchall() == [(popular[0][1], 2)]
    app.journal.flush()
    assert db.execute("SELECT count(*) FROM rec_outcomes('recs') WHERE kind = 'click' AND list = ? AND item = ?", popular[0]).fetchone() == (1,)
    users = {user for user, in db.execute("SELECT DISTINCT user FROM rec_shown('recs') WHERE list = ?", (popular[0][0],))}
    assert users == {int(customer)}, "what she was shown as a guest is hers"
    assert db.execute("SELECT count(*) FROM rec_outcomes('recs') WHERE kind = 'purchase' AND user = ?", (int(customer),)).fetchone() == (1,)

    # somebody else, who has a history; and somebody whose list is in the learnt order
    sign_in = lambda customer: (lambda client: client.post("/sign-in", data={"customer": str(customer), "token": token(client.get("/sign-in").get_data(as_text=True))}, follow_redirects=True))(app.app.test_client())
    someone_of = lambda arm: db.execute("SELECT user FROM recs WHERE k = 1 AND arm = ? AND user IN (SELECT customer_id FROM events GROUP BY 1 HAVING count(*) > 50) LIMIT 1", (arm,)).fetchone()[0]
    customer = someone_of("ordered")
    shown = [code for _, code in shelf(sign_in(customer).get_data(as_text=True), "home")]
    plain = [code for code, in db.execute("SELECT item FROM recs WHERE user = ? AND k = 40 ORDER BY rank", (customer,))]
    assert len(shown) == 8 and set(shown) <= set(plain) and shown != plain[:8], (shown, plain[:8])
    assert max(sum(code[:3] == other[:3] for other in shown) for code in shown) <= 2
    app.journal.flush()
    assert db.execute("SELECT count(*) FROM rec_shown('recs') WHERE user = ? AND scenario = 'home' AND arm = 'ordered'", (customer,)).fetchone() == (8,)
    client = app.app.test_client()
    assert client.post("/sign-in", data={"customer": "999999999", "token": token(client.get("/sign-in").get_data(as_text=True))}).status_code == 404
    home = client.post("/sign-in", data={"customer": str(someone_of("neighbours")), "token": token(client.get("/sign-in").get_data(as_text=True))}, follow_redirects=True).get_data(as_text=True)
    assert "Because you bought" in home and "because of" in home
    expected = [code for code, in db.execute("SELECT r.item FROM recs r JOIN catalogue c ON c.stock_code = r.item WHERE r.user = ? AND r.k = 8 ORDER BY rank", (someone_of("neighbours"),))]
    assert [code for _, code in shelf(home, "home")] == expected

    # what is wrong is answered
    for path, code in (("/product/nothing", 404), ("/nowhere", 404)):
        get(path, code)
    assert client.post("/cart", data={"code": "22423", "token": "forged"}).status_code == 400
    assert client.post("/cart", data={"code": "22423", "pieces": "many", "token": token(home)}).status_code == 400
    assert client.post("/cart", data={"code": "22423", "token": "é"}).status_code == 400
    get("/search?q=a%00b")
    assert "Set-Cookie" not in client.get("/thumb/22423.svg").headers
    assert client.get("/go/forged-list/22423").status_code == 303  # not logged, not lost

    other = shelf(get("/"), "trending")
    assert client.get(f"/go/{other[0][0]}/{other[0][1]}").status_code == 303
    app.journal.flush()
    # the owner's pages
    page = get("/dashboard")
    assert "neighbours" in page and "Has the data moved?" in page and page.count('class="dot"') >= 1 and "prepare.sql" in page
    # clicks on other shelves are not clicks on "For you"
    clicked, lists = db.execute("""SELECT count(*) FILTER (WHERE o.kind = 'click'), (SELECT count(DISTINCT list) FROM rec_shown('recs') WHERE scenario = 'home')
        FROM rec_outcomes('recs') o WHERE o.list IN (SELECT list FROM rec_shown('recs') WHERE scenario = 'home')""").fetchone()
    elsewhere = db.execute("SELECT count(*) FROM rec_outcomes('recs') WHERE kind = 'click'").fetchone()[0] - clicked
    arms = app.dashboard.arms(app.store)
    assert elsewhere > 0 and (sum(arm["clicks"] for arm in arms), sum(arm["lists"] for arm in arms)) == (clicked, lists), (arms, clicked, lists)
    text = get("/metrics")
    assert 'storefront_page_seconds_count{page="home"}' in text and "recommend_requests_total" in text
    assert get("/health") == "ok, version 1\n"
    timing = client.get("/").headers["Server-Timing"]
    total, recommending = (float(re.search(rf"{name};dur=([0-9.]+)", timing).group(1)) for name in ("total", "recs"))
    assert 0 < recommending < total, timing
