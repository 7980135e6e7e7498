#!/bin/sh
# The Python package as people get it: the wheel, installed into an environment of its own where no compiler is needed, then
# tests/python/test_*.py in it. Last line: "N passed, N failed[, N skipped]".
#   tests/python/run.sh BUILD [PART]     PART: only the tests whose name contains it
set -u
build=$1
if ! ext/tools/deps.sh portable >/dev/null 2>"$build/portable.log"; then
    echo "SKIP the wheel: the C library of Debian 11 cannot be had ($(tail -n 1 "$build/portable.log"))"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
make --no-print-directory "BUILD=$build" "$build/dist/raw/built" || { echo "0 passed, 1 failed"; exit 1; }
# With the distribution's own packages: NumPy, apsw, SQLAlchemy, Django, aiosqlite.
rm -rf "$build/python"
/usr/bin/python3 -m venv --system-site-packages "$build/python" &&
    "$build/python/bin/python" -m pip install --quiet --no-index --no-deps "$build"/dist/raw/*.whl ||
    { echo "0 passed, 1 failed"; exit 1; }
# Without a browser its tests are skipped; the notebooks without jupyter, or jupysql for their %%sql (from PyPI).
ext/tools/deps.sh packages storefront browser || echo "no browser"
ext/tools/deps.sh packages manifests || echo "no docker-compose"
"$build/python/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 kubernetes-validate==1.37.0 2>"$build/jupysql.log" ||
    echo "the manifests: kubernetes-validate cannot be had ($(tail -n 1 "$build/jupysql.log"))"
ext/tools/deps.sh packages notebooks && "$build/python/bin/python" -m ipykernel install --sys-prefix --name python3 >/dev/null 2>&1
"$build/python/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 jupysql==0.11.1 2>"$build/jupysql.log" ||
    echo "the notebooks: jupysql cannot be had ($(tail -n 1 "$build/jupysql.log"))"
# What files are exchanged with: of these versions, as Debian's NumPy wants them. Without the network they are skipped.
"$build/python/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --no-deps --only-binary=:all: \
    faiss-cpu==1.8.0.post1 implicit==0.7.2 pyarrow==14.0.2 threadpoolctl==3.6.0 tqdm==4.67.1 onnxruntime==1.17.3 2>>"$build/jupysql.log" ||
    echo "files: FAISS, implicit, pyarrow and onnxruntime cannot be had ($(tail -n 1 "$build/jupysql.log"))"
REC_BUILD=$build exec "$build/python/bin/python" tests/python/run.py "${2:-}"
