#!/bin/sh
# The unit tests, the SQL sessions and tests of devices under AddressSanitizer and
# UndefinedBehaviorSanitizer, leaks included. Last line: "N passed, N failed".
set -u
make --no-print-directory SANITIZE=1 build/asan/recommend.so build/asan/tests/unit \
    build/asan/tests/device/recommend.so build/asan/tests/device/recommend_gpu.so >build/asan.log \
    2>&1 || { tail -n 20 build/asan.log; echo "0 passed, 1 failed"; exit 1; }
passed=0 failed=0
check() { if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $2"; tail -n 40 build/asan/out; fi; }
# CPython and the shell keep some memory for good; only what names our object counts.
# FAISS 1.7.3 itself leaks the coarse quantizer (72 bytes) of an IVF that its factory refuses
# half-way.
printf 'leak:parse_coarse_quantizer\n' >build/asan/leaks
export LSAN_OPTIONS=suppressions=build/asan/leaks:print_suppressions=0 \
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1
build/asan/tests/unit >build/asan/out 2>&1
check $? "unit tests under ASan and UBSan"
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $(gcc -print-file-name=libstdc++.so)"
preload=$LD_PRELOAD
unset LD_PRELOAD
for file in tests/sql/*.sql; do
    LD_PRELOAD=$preload sqlite3 -cmd ".load build/asan/recommend" -batch :memory: <"$file" \
        >build/asan/out 2>&1
    grep -qE 'AddressSanitizer|runtime error:|LeakSanitizer' build/asan/out
    check $((1 - $?)) "$file under ASan and UBSan"
done
# The GPU plug-in over the device that the CPU plays, on several threads; Python's own leaks would
# hide others.
ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:exitcode=99 LD_PRELOAD=$preload /usr/bin/python3 \
    tests/behaviour/run.py build/asan on_every_device >build/asan/out 2>&1
check $? "device tests under ASan and UBSan"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
