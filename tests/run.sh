#!/bin/sh
# Runs the suites given as arguments, each a command whose last line is "N passed, N failed[, N
# skipped]", and adds up.
#
#   tests/run.sh BUILD SUITE...      a SUITE is one of: lint unit sql docs oracle behaviour python hosts
#                              cluster fault asan
set -u
build=$1; shift
python=${PYTHON:-/usr/bin/python3} # with EMULATOR another architecture's (ext/tools/cross.mk), on which the longest test would take hours
passed=0 failed=0 skipped=0
log=$build/tests/log
mkdir -p "$log"

suite_command() {
    case "$1" in
    unit) echo "${EMULATOR:-} $build/tests/unit ${EMULATOR:+-failure_of_every_allocation}" ;;
    sql) echo "tests/sql/run.sh $build" ;;
    docs) echo "$python tests/docs_examples.py $build" ;;
    oracle) echo "$python tests/oracle/run.py $build" ;;
    behaviour) echo "$python tests/behaviour/run.py $build" ;;
    python) echo "tests/python/run.sh $build" ;;
    hosts) echo "tests/hosts/run.sh $build" ;;
    cluster) echo "$python tests/cluster/run.py $build" ;;
    fault) echo "${EMULATOR:-} $build/tests/session" ;;
    asan) echo "tests/asan.sh" ;;
    lint) echo "tests/lint.sh $build" ;;
    esac
}

for suite in "$@"; do
    command=$(suite_command "$suite")
    started=$(date +%s)
    # shellcheck disable=SC2086 -- a command line
    $command >"$log/$suite.log" 2>&1
    code=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log/$suite.log" | tail -n 1)
    if [ -z "$line" ] || { [ $code -ne 0 ] && ! echo "$line" | grep -qE ', [1-9][0-9]* failed'; }
    then
        line="0 passed, 1 failed"
        tail -n 40 "$log/$suite.log"
        echo "suite $suite ended with code $code"
    elif ! echo "$line" | grep -qE ', 0 failed'; then
        grep -E -A 12 '^(FAIL|not ok)' "$log/$suite.log" | head -n 120
    fi
    grep -E '^SKIP' "$log/$suite.log"
    printf '%-10s %s (%s s)\n' "$suite" "$line" "$(($(date +%s) - started))"
    passed=$((passed + $(echo "$line" | sed 's/ passed.*//')))
    failed=$((failed + $(echo "$line" | sed 's/.*, \([0-9]*\) failed.*/\1/')))
    skipped=$((skipped + $(echo "$line" | sed -n 's/.*, \([0-9]*\) skipped.*/\1/p' | grep . || echo 0)))
done
if [ $skipped -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"
else echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
