#!/bin/sh
# What is handed out, far from where it was built (needs root and the network): the wheel beside scikit-learn, faiss-cpu, LightGBM and
# XGBoost in one process, and on Debian 11 (glibc 2.31) with no compiler; the Debian package and the storefront's container on a
# minimal Debian 12. Both roots are made by debootstrap. Last line: "N passed, N failed".
#   tests/python/far.sh BUILD
set -eu
build=$1
wheel=$(ls "$build"/dist/*manylinux*.whl)
passed=0 failed=0
result() { if [ "$1" -eq 0 ]; then passed=$((passed + 1)); echo "ok $2"; else failed=$((failed + 1)); echo "FAIL $2"; tail -n 20 "$build/far.log"; fi; }

rm -rf "$build/crowd"
/usr/bin/python3 -m venv "$build/crowd"
"$build/crowd/bin/python" -m pip install --quiet "$wheel" numpy scipy scikit-learn faiss-cpu lightgbm xgboost tqdm >"$build/far.log" 2>&1
code=0; REC_CROWD=1 REC_BUILD=$build "$build/crowd/bin/python" tests/python/run.py others_in_the_process >"$build/far.log" 2>&1 || code=$?
result $code "beside scikit-learn, faiss-cpu, LightGBM and XGBoost, in every order"

in_root() { env -i HOME=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$build/$1" /bin/sh -c "$2" >"$build/far.log" 2>&1; }

tests/root.sh bullseye "$build/bullseye" python3,python3-pip
root=$build/bullseye
/usr/bin/python3 -m pip download --quiet --dest "$root/opt" --no-deps --only-binary=:all: --python-version 3.9 \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 pysqlite3-binary
cp "$wheel" "$root/opt/"
code=0; in_root bullseye 'python3 -m pip install --quiet --no-index /opt/*.whl && python3 -m sqlite_recommend' || code=$?
result $code "Debian 11: pip install, then the demo by pysqlite3"
tests/root.sh bookworm "$build/bookworm" sqlite3
cp "$build"/dist/*.deb "$build/bookworm/opt/"
code=0
in_root bookworm "apt-get update -qq && apt-get install -y -qq --no-install-recommends /opt/*.deb && cd / &&
    sqlite3 -cmd '.load recommend' :memory: \"SELECT 'dot', rec_dot('[1,2]', '[3,4]')\"" || code=$?
grep -qx 'dot|11.0' "$build/far.log" || code=1
result $code "Debian 12: apt install ./*.deb, then .load recommend"
# What docs/examples/storefront/Containerfile does, step by step, in that root: no engine for containers is needed.
mkdir -p "$build/bookworm/storefront" "$build/bookworm/shop" && cp -r docs/examples/storefront/. "$build/bookworm/storefront" && cp "$wheel" "$build/bookworm/opt/"
code=0
in_root bookworm "apt-get install -y -qq --no-install-recommends $(sed -n 's/.*--no-install-recommends \(.*\) \\$/\1/p' docs/examples/storefront/Containerfile) &&
    pip install --quiet --break-system-packages --no-index --no-deps /opt/*.whl &&
    export STOREFRONT_DB=/shop/storefront.db STOREFRONT_BIND=127.0.0.1:18765 && { sh /storefront/start.sh & server=\$!; } &&
    for second in \$(seq 60); do sleep 1; $(sed -n 's/^ *CMD \(python3 -c .*\)/\1/p' docs/examples/storefront/Containerfile | sed 's/8000/18765/') && ok=1 && break; done;
    kill \$server; wait \$server; [ \"\${ok:-}\" = 1 ]" || code=$?
result $code "the container's steps on Debian 12: the storefront starts and is healthy"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
