"""The storefront: pages rendered by the server; no script is needed. Flask, one file of SQL (store.py), one of writing (journal.py).

    STOREFRONT_DB     the database, made by prepare.sql (default storefront.db)
    RECOMMEND         the extension (default: the Python package's, else recommend)
    STOREFRONT_KEY    what cookies are signed with (default: drawn when the program starts)"""
import hashlib
import os
import secrets
import sqlite3
import time

from flask import Flask, Response, abort, g, redirect, render_template, request, session, url_for

import dashboard
from journal import Journal
from store import Store, Visit, title
from thumbs import thumb

LOOKED_AT, MOST_PIECES, MOST_LINES = 12, 99, 100


def extension():
    if os.environ.get("RECOMMEND"):
        return os.environ["RECOMMEND"]
    try:
        import sqlite_recommend
        return sqlite_recommend.loadable_path()
    except ImportError:
        return "recommend"


app = Flask(__name__)
app.secret_key = os.environ.get("STOREFRONT_KEY") or secrets.token_hex(16)
# A picture that is answered late must not bring an old cookie back.
app.config.update(SESSION_REFRESH_EACH_REQUEST=False, SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True, MAX_CONTENT_LENGTH=64 * 1024)
store = Store(os.environ.get("STOREFRONT_DB", "storefront.db"), extension())
journal = Journal(store)
app.jinja_env.filters.update(title=title, pounds=lambda price: f"£{price:,.2f}", percent=lambda share: f"{100 * share:.1f} %")
app.jinja_env.globals.update(token=lambda: csrf_token())


# ---- who asks ----

def csrf_token():
    """Forms carry it: a page of another site cannot send them."""
    return hashlib.sha256(f"{session['visitor']}{app.secret_key}".encode()).hexdigest()[:24]


@app.before_request
def begin():
    g.began = time.perf_counter()
    store.new_clock()
    if request.endpoint in ("static", "thumbnail", "metrics", "health"):
        return
    if "visitor" not in session:
        session.permanent = True
        session["visitor"] = "v-" + secrets.token_hex(8)
    g.visit = Visit(session["visitor"], session.get("customer"), session.get("looked_at", []), session.get("cart", {}))
    if request.method == "POST" and not secrets.compare_digest(request.form.get("token", "").encode(), csrf_token().encode()):
        abort(400, "This form is out of date: go back, reload the page, and try again.")


@app.after_request
def end(response):
    spent = time.perf_counter() - g.began
    clock = store.clock
    response.headers["Server-Timing"] = f"total;dur={spent * 1e3:.2f}, db;dur={clock.database * 1e3:.2f}, recs;dur={clock.recommending * 1e3:.2f}"
    if request.endpoint not in ("static", "thumbnail"):
        dashboard.count_page(request.endpoint, spent, clock.database, clock.recommending)
        response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'"
    return response


def show(*shelves):
    """Shelves that are on the page: each is logged as shown. Empty ones are left out."""
    found = [shelf for shelf in shelves if shelf and shelf.items]
    for shelf in found:
        journal.shown(g.visit, shelf)
    return found


# ---- pages ----

@app.get("/")
def home():
    visit = g.visit
    return render_template("home.html", visit=visit, shelves=show(store.for_you(visit), store.because_you(visit), store.trending(visit)))


@app.get("/product/<code>")
def product(code):
    found = store.product(code) or abort(404)
    visit = g.visit
    shelves = show(store.goes_with(code, visit), store.more_like(code, visit))
    visit.looked_at = [code, *(other for other in visit.looked_at if other != code)][:LOOKED_AT]
    session["looked_at"] = visit.looked_at
    journal.looked_at(visit, code)
    return render_template("product.html", visit=visit, product=found, shelves=shelves)


@app.get("/go/<list_id>/<code>")
def go(list_id, code):
    """A click on a shelf: logged, then the product's page."""
    journal.click(g.visit, list_id[:40], code)
    return redirect(url_for("product", code=code), 303)


@app.get("/search")
def search():
    text = request.args.get("q", "")[:200].strip()
    shelf = store.search(text, g.visit)
    show(shelf)
    return render_template("search.html", visit=g.visit, text=text, shelf=shelf)


@app.get("/cart")
def cart():
    visit = g.visit
    products = store.products(visit.cart)
    lines = [(products[code], pieces) for code, pieces in visit.cart.items() if code in products]
    shelves = show(store.goes_with_cart(visit)) if lines else show(store.for_you(visit))
    return render_template("cart.html", visit=visit, lines=lines, total=sum(row["price"] * pieces for row, pieces in lines), shelves=shelves)


@app.post("/cart")
def change_cart():
    code = request.form.get("code", "")
    store.product(code) or abort(404)
    try:
        pieces = int(request.form.get("pieces", 1))
    except ValueError:
        abort(400, "How many pieces? A whole number, please.")
    if request.form.get("add"):
        pieces += g.visit.cart.get(code, 0)
    kept = {**g.visit.cart, code: max(0, min(pieces, MOST_PIECES))}
    if len(kept) > MOST_LINES:
        abort(400, f"The cart has room for {MOST_LINES} different products.")  # of a cookie
    session.setdefault("order", secrets.token_hex(6))
    session["cart"] = {code: pieces for code, pieces in kept.items() if pieces}
    return redirect(url_for("cart"), 303)


@app.post("/checkout")
def checkout():
    visit = g.visit
    visit.cart = {code: pieces for code, pieces in visit.cart.items() if code in store.products(visit.cart)}
    if not visit.cart:
        return redirect(url_for("cart"), 303)
    was_guest = visit.customer is None
    invoice = "W" + session.get("order", secrets.token_hex(6))
    if store.buy(visit, invoice):  # not where the same form was sent before
        session["customer"] = visit.customer
        if was_guest:
            merge(visit.customer)
    session["cart"] = {}
    session.pop("order", None)
    return redirect(url_for("thanks", invoice=invoice), 303)


def merge(customer):
    """What she was shown as a visitor is the customer's. No reason to refuse her a page if the database is busy."""
    try:
        journal.flush()
        store.merge(g.visit.visitor, customer)
    except sqlite3.OperationalError as error:
        app.logger.error("merge-user: %s", error)


@app.get("/thanks/<invoice>")
def thanks(invoice):
    return render_template("thanks.html", visit=g.visit, invoice=invoice, shelves=show(store.for_you(g.visit)))


@app.get("/sign-in")
def sign_in():
    return render_template("sign_in.html", visit=g.visit, customers=store.some_customers())


@app.post("/sign-in")
def signed_in():
    number = request.form.get("customer", "")
    customer = store.customer(int(number)) if number.isascii() and number.isdigit() and len(number) < 10 else None
    if not customer:
        return render_template("sign_in.html", visit=g.visit, customers=store.some_customers(), wrong=number), 404
    if g.visit.customer is None:
        merge(customer["customer_id"])
    session.update(customer=customer["customer_id"], looked_at=[])
    return redirect(url_for("home"), 303)


@app.post("/sign-out")
def sign_out():
    session.clear()
    return redirect(url_for("home"), 303)


# ---- what runs beside ----

@app.get("/thumb/<code>.svg")
def thumbnail(code):
    product = store.product(code)
    return Response(thumb(code, product["name"] if product else ""), mimetype="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})


@app.get("/dashboard")
def show_dashboard():
    return render_template("dashboard.html", visit=g.visit, **dashboard.read(store))


@app.get("/metrics")
def metrics():
    return Response(store.ask("SELECT rec_prometheus()")[0][0] + dashboard.prometheus(), mimetype="text/plain; version=0.0.4")


@app.get("/health")
def health():
    """A list for nobody in particular, by the version that is live."""
    rows = store.ask("SELECT version FROM recs WHERE basket = '[]' AND k = 1")
    return (f"ok, version {rows[0]['version']}\n", 200) if rows else ("no list\n", 503)


@app.errorhandler(400)
@app.errorhandler(404)
def not_found(error):
    if "visit" not in g:
        return str(error), error.code
    return render_template("error.html", visit=g.visit, error=error, shelves=show(store.trending(g.visit))), error.code


@app.errorhandler(sqlite3.OperationalError)
def database_is_busy(error):
    app.logger.error("%s", error)
    return "The shop is very busy at the moment. Please try again.\n", 503
