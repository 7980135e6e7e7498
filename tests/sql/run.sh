#!/bin/sh
# Each NN_topic.sql runs in the sqlite3 shell; what it prints, errors included, must equal NN_topic.out byte for byte.
#   tests/sql/run.sh BUILD [--accept]      --accept writes the .out files: read the difference before you commit it
build=$1
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for file in tests/sql/*.sql; do
    out=${file%.sql}.out
    # A prelude loads the extension; the shell's line numbers count from the file's own first line.
    sqlite3 -bail :memory: ".load $build/recommend" >/dev/null 2>"$work/load" || { cat "$work/load"; echo "0 passed, 1 failed"; exit 1; }
    (cd "$work" && rm -f ./*.db* && sqlite3 -cmd ".load $(cd "$OLDPWD" && pwd)/$build/recommend" -batch :memory: <"$OLDPWD/$file" >actual 2>&1)
    if [ "${2:-}" = --accept ]; then cp "$work/actual" "$out"; passed=$((passed + 1)); continue; fi
    if cmp -s "$work/actual" "$out"; then passed=$((passed + 1))
    else
        echo "FAIL $file"
        diff "$out" "$work/actual" | head -n 20
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
