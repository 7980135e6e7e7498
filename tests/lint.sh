#!/bin/sh
# The rules of the house that a program can check. Last line: "N passed, N failed".
#   tests/lint.sh BUILD
set -u
build=$1
passed=0 failed=0
sources=$(ls ext/*/*.c ext/*/*/*.c ext/*/*.cpp)
all="$sources $(ls ext/*/*.h ext/*/*/*.h)"
with_tests="$all $(ls tests/*/*.[ch] tests/*/*.cpp)"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL $*"; }

# 1. Rooms and wings include and call only what stands below them, and no circle leads back.
found=$(/usr/bin/python3 tests/house.py "$build" 2>&1) && ok || bad "order of the house: $found"

# 2. Symbols: SQLite only in sqlite/, BLAS and LAPACK only in dense.c, FAISS's C API only in
# faiss_engine.c.
users() { # pattern
    for object in "$build"/obj/ext/*/*.o "$build"/obj/ext/*/*/*.o; do
        nm -u "$object" 2>/dev/null | grep -qE " U ($1)" && echo "${object#"$build"/obj/}"
    done
}
found=$(users 'sqlite3_' | grep -v '^ext/sqlite/' || true)
[ -z "$found" ] && ok || bad "sqlite3_* outside ext/sqlite: $found"
found=$(users 'cblas_|s(potr|gem|syr)[a-z]*_|openblas_' | grep -v '^ext/math/dense.o' || true)
[ -z "$found" ] && ok || bad "BLAS outside ext/math/dense.c: $found"
found=$(users 'faiss_[A-Zgirw]' | grep -v '^ext/ann/faiss_engine.o' || true)
[ -z "$found" ] && ok || bad "FAISS outside ext/ann/faiss_engine.c: $found"

# 3. The finished object exports its entry point alone.
found=$(nm -D --defined-only "$build/recommend.so" | awk '{print $NF}' | grep -v '^sqlite3_recommend_init$' || true)
[ -z "$found" ] && ok || bad "recommend.so exports: $found"

# 4. No AVX outside the functions that are chosen at run time: their names end in _avx2 or _avx512.
found=$(objdump -d --no-show-raw-insn "$build/recommend.so" 2>/dev/null |
    awk '/^[0-9a-f]+ <.*>:$/ {name=$2} /%[yz]mm[0-9]/ {print name}' | sort -u | grep -vE \
        '_avx(2|512)|finish_avx|sum8|widen' || true)
[ -z "$found" ] && ok || bad "AVX code outside the chosen kernels: $found"

# 5. Calls that have a better way: memory through base/memory.h, no exit, no unbounded or
# locale-bound text functions.
found=$(grep -nE '(^|[^a-z_.>])(malloc|calloc|realloc|strcpy|strcat|sprintf|gets|atoi|atof|exit|abort|assert|rand|srand)\(' $sources |
    grep -vE '^ext/base/memory.c:' || true)
[ -z "$found" ] && ok || bad "banned calls: $found"
found=$(grep -nE '(^|[^a-z0-9_.>])(v?snprintf|strto(d|f|ld)|sscanf|v?fprintf|setlocale|to(lower|upper)|is(alpha|alnum|digit|space|upper|lower|punct|print))\(' $(ls ext/*/*.c ext/*/*/*.c) |
    grep -vE '^ext/base/text.c:|^ext/sqlite/host/jobs.c:.*"%s %s: %s' || true)
[ -z "$found" ] && ok || bad "calls that follow the locale (base/text.h): $found"

# 6. Files stay readable in one sitting.
found=$(wc -l $all | awk '$2 != "total" && $1 > 600 {print $2 ": " $1 " lines"}')
[ -z "$found" ] && ok || bad "files past 600 lines: $found"

# Nor does a function pass a screen.
found=$(awk '/^[A-Za-z_]/ && !/;$/ {start = FNR} /^}$/ && FNR - start >= 60 {
    print FILENAME ":" start ": " FNR - start + 1 " lines"}' $sources)
[ -z "$found" ] && ok || bad "functions past 60 lines: $found"
found=$(awk 'length > 100 {print FILENAME ":" FNR}' $with_tests)
[ -z "$found" ] && ok || bad "lines past 100 columns: $found"
# (Between two Chinese characters a line break would be shown as a gap.)
found=$(git ls-files '*.md' | grep -v 'zh-CN' | xargs awk 'FNR == 1 {code = 0} /^ *```/ {code = !code}
    length > 100 && !code && !/^ *\|/ && !/^#/ {print FILENAME ":" FNR}')
[ -z "$found" ] && ok || bad "prose past 100 columns: $found"
# Other versions lay out a little differently.
if clang-format --version 2>/dev/null | grep -q 'version 14'; then
    found=$(for file in $with_tests; do
        clang-format "$file" | cmp -s - "$file" || echo "$file"; done)
    [ -z "$found" ] && ok || bad "not as clang-format lays it out (make format): $found"
else echo "SKIP no clang-format 14"
fi

# 7. The repository speaks of the project alone.
found=$(git grep -nIE '(^|[^a-z.])/(work|root|home)/' -- . ':!tests/lint.sh' ':!.gitignore' 2>/dev/null || true)
[ -z "$found" ] && ok || bad "a machine's path: $found"

# 8. Both compilers are silent (clang where it is installed).
flags=$(make -s --no-print-directory BUILD="$build" flags)
for compiler in gcc clang; do
    if ! command -v $compiler >/dev/null 2>&1; then echo "SKIP no $compiler"; continue; fi
    noise=$(for file in ext/*/*.c ext/*/*/*.c; do
        # shellcheck disable=SC2086 -- a list of words
        $compiler $flags -O1 -fsyntax-only "$file"
    done 2>&1 | grep -E 'warning|error' | grep -v "omp.h" | head -n 5)
    [ -z "$noise" ] && ok || bad "$compiler: $noise"
done

# 9. Every SQL name stands in the list, in the reference and in a test, and its example runs.
found=$(/usr/bin/python3 tests/names.py "$build" 2>&1) && ok || bad "names: $found"

# 10. The reference's option tables are those of the code.
if [ -f docs/reference/algorithms.md ]; then
    found=$(/usr/bin/python3 docs/option_tables.py "$build" --check 2>&1) && ok || bad "$found"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
