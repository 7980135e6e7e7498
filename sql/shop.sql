-- The sample shop: Online Retail, a UK gift shop's year (data/README.md), from the CSV into a small schema.
-- Run from the project's root by the sqlite3 shell:   sqlite3 shop.db < sql/shop.sql
--
--   products   one row a stock code: its latest name and its median price
--   customers  one row a customer: where she lives
--   orders     one row an invoice; cancelled = 1 for invoices 'C...'
--   events     one row an invoice line, quantity negative in a cancellation, customer NULL for a guest
--
--   purchases            what models read: real products, known customers, cancellations as negative quantities, which
--                        the model nets. Postage, fees, samples and manual lines are left out: their codes do not begin
--                        with five digits.
--   reference_purchases  nothing netted and nothing dropped but guests, cancellations and quantities below 1: the rows of
--                        the published reference figures.
.bail on
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;

CREATE TEMP TABLE raw(invoice, stock_code, name, quantity, placed_at, price, customer, country);
.import --csv --skip 1 "|gzip -dc data/online_retail.csv.gz" raw

CREATE TABLE products(
  stock_code TEXT PRIMARY KEY,
  name       TEXT,              -- the latest description; NULL where the shop never wrote one
  price      REAL               -- median unit price in pounds of the lines that were sold
) WITHOUT ROWID;

CREATE TABLE customers(
  customer_id INTEGER PRIMARY KEY,
  country     TEXT
);

CREATE TABLE orders(
  invoice     TEXT PRIMARY KEY,
  customer_id INTEGER REFERENCES customers,   -- NULL: a guest
  placed_at   INTEGER,                        -- unix seconds, UTC
  cancelled   INTEGER
) WITHOUT ROWID;

CREATE TABLE events(
  event_id    INTEGER PRIMARY KEY,
  invoice     TEXT REFERENCES orders,
  customer_id INTEGER REFERENCES customers,
  stock_code  TEXT REFERENCES products,
  quantity    INTEGER,
  price       REAL,
  bought_at   INTEGER                         -- unix seconds, UTC
);

INSERT INTO events(invoice, customer_id, stock_code, quantity, price, bought_at)
  SELECT invoice, nullif(customer, ''), stock_code, quantity, price, unixepoch(placed_at) FROM raw ORDER BY rowid;

INSERT INTO products(stock_code, name, price)
  WITH named AS (
    SELECT stock_code, trim(name) AS name, row_number() OVER (PARTITION BY stock_code ORDER BY placed_at DESC, raw.rowid DESC) AS nth
      FROM raw WHERE trim(name) <> '' AND upper(name) = name AND quantity > 0
  ), priced AS (
    SELECT stock_code, price, row_number() OVER (PARTITION BY stock_code ORDER BY price) AS nth,
           count(*) OVER (PARTITION BY stock_code) AS n
      FROM events WHERE quantity > 0 AND price > 0
  )
  SELECT codes.stock_code, named.name, priced.price
    FROM (SELECT DISTINCT stock_code FROM events) codes
    LEFT JOIN named ON named.stock_code = codes.stock_code AND named.nth = 1
    LEFT JOIN priced ON priced.stock_code = codes.stock_code AND priced.nth = (priced.n + 1) / 2;

INSERT INTO customers
  SELECT customer_id, country FROM (
    SELECT CAST(customer AS INTEGER) AS customer_id, country,
           row_number() OVER (PARTITION BY customer ORDER BY placed_at DESC) AS nth
      FROM raw WHERE customer <> '')
   WHERE nth = 1;

INSERT INTO orders
  SELECT invoice, max(customer_id), min(bought_at), substr(invoice, 1, 1) = 'C' FROM events GROUP BY invoice;

DROP TABLE raw;

-- A page asks for one customer's history: this index makes that a look-up (rec_models.history says 'index').
CREATE INDEX events_by_customer ON events(customer_id, stock_code, quantity, bought_at);

CREATE VIEW purchases AS
  SELECT customer_id, stock_code, quantity, bought_at FROM events
   WHERE customer_id IS NOT NULL AND stock_code GLOB '[0-9][0-9][0-9][0-9][0-9]*';

CREATE VIEW reference_purchases AS
  SELECT customer_id, stock_code, quantity, bought_at, invoice FROM events
   WHERE customer_id IS NOT NULL AND quantity > 0 AND invoice NOT LIKE 'C%';

PRAGMA journal_mode = WAL;
ANALYZE;
