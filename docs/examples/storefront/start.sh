#!/bin/sh
# What the container runs: the sample shop and its models, once (half a minute), then the pages. Beside a Python package that is
# installed.
set -eu
here=$(dirname "$0")
db=${STOREFRONT_DB:-storefront.db}
if [ ! -f "$db" ]; then
    echo "storefront: making $db ..." >&2
    rm -f "$db".new*
    python3 -c "
import sys, sqlite_recommend, sqlite_recommend.sample
db = sqlite_recommend.connect(sys.argv[1])
sqlite_recommend.sample.load_shop(db)" "$db.new"
    sqlite3 -cmd ".load $(python3 -c 'import sqlite_recommend; print(sqlite_recommend.loadable_path())')" "$db.new" <"$here/prepare.sql" >&2
    sqlite3 -cmd ".load $(python3 -c 'import sqlite_recommend; print(sqlite_recommend.loadable_path())')" "$db.new" <"$here/ordering.sql" >&2
    mv "$db.new" "$db"
fi
exec gunicorn --chdir "$here" --config "$here/gunicorn.conf.py" app:app
