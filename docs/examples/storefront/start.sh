#!/bin/sh
# What the container runs: the sample shop and its models, once (half a minute), then the pages. Beside a Python package that is
# installed.
#
#   start.sh              both
#   start.sh --prepare    the shop alone
#   start.sh --nightly    trains by what was bought (sql/nightly.sql), as a job of its own
set -eu
here=$(dirname "$0")
db=${STOREFRONT_DB:-storefront.db}
loadable() { python3 -c 'import sqlite_recommend; print(sqlite_recommend.loadable_path())'; }
if [ "${1:-}" = --nightly ]; then
    exec sqlite3 -bail -cmd ".timeout 60000" -cmd ".load $(loadable)" "$db" <"${NIGHTLY:-$here/nightly.sql}"
fi
if [ ! -f "$db" ]; then
    echo "storefront: making $db ..." >&2
    rm -f "$db".new*
    python3 -c "
import sys, sqlite_recommend, sqlite_recommend.sample
db = sqlite_recommend.connect(sys.argv[1])
sqlite_recommend.sample.load_shop(db)" "$db.new"
    sqlite3 -cmd ".load $(loadable)" "$db.new" <"$here/prepare.sql" >&2
    sqlite3 -cmd ".load $(loadable)" "$db.new" <"$here/ordering.sql" >&2
    mv "$db.new" "$db"
fi
[ "${1:-}" != --prepare ] || exit 0
exec gunicorn --chdir "$here" --config "$here/gunicorn.conf.py" app:app
