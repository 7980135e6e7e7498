#!/bin/sh
# Packs what a machine with a GPU needs into BUILD/gpu-machine.tar.xz (below 60 MB): the extension and the plug-in, the libraries that they
# and Debian's Python need, that Python with NumPy, the tests of devices and of every index engine, and the benchmark. There: tar xf gpu-machine.tar.xz && gpu-machine/run
# [tests|sanitize|20k|1m|10m ...] (default: tests 1m), with cuBLAS of the plug-in's CUDA version in the library path or under $CUDA_HOME (default /usr/local/cuda).
#   ext/tools/gpu_archive.sh BUILD
set -eu
build=$1
out=$build/gpu-machine
rm -rf "$out"
mkdir -p "$out/build" "$out/lib" "$out/python/lib" "$out/tests/behaviour" "$out/tests/bench"
cp "$build/recommend.so" "$out/build/"
for file in recommend_gpu.so gpu_raw; do [ ! -f "$build/$file" ] || cp "$build/$file" "$out/build/"; done
cp tests/behaviour/run.py tests/behaviour/support.py tests/behaviour/test_devices.py tests/behaviour/test_index_matrix.py "$out/tests/behaviour/"
cp tests/bench/gpu.py "$out/tests/bench/"
cp /usr/bin/python3.11 "$out/python/python3"
cp -r /usr/lib/python3.11 "$out/python/lib/"
rm -rf "$out"/python/lib/python3.11/test "$out"/python/lib/python3.11/idlelib "$out"/python/lib/python3.11/ensurepip "$out"/python/lib/python3.11/lib2to3 \
    "$out"/python/lib/python3.11/tkinter "$out"/python/lib/python3.11/config-* "$out"/python/lib/python3.11/pydoc_data
mkdir "$out/python/packages"
cp -r /usr/lib/python3/dist-packages/numpy "$out/python/packages/"
find "$out/python/packages" \( -name tests -o -name f2py -o -name distutils -o -name '*.a' -o -name include \) -prune -exec rm -rf {} +
find "$out/python" -name __pycache__ -prune -exec rm -rf {} +
# Every library but the C library's own, which belong to the machine's loader, and CUDA's.
for object in "$out"/build/* "$out/python/python3" "$out"/python/lib/python3.11/lib-dynload/*.so $(find "$out/python/packages" -name '*.so'); do
    ldd "$object" 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p'
done | sort -u | grep -vE "/(ld-linux[-a-z0-9]*|libc|libm|libdl|libpthread|librt|libcu[A-Za-z]*|libnv[A-Za-z]*)\.so" | while read -r library; do cp -L "$library" "$out/lib/"; done
cat >"$out/run" <<'RUN'
#!/bin/sh
# What is asked for, one after the other: the tests, the tests under compute-sanitizer, the benchmark of a size.
cd "$(dirname "$0")" || exit 1
export LD_LIBRARY_PATH="$PWD/lib:${CUDA_HOME:-/usr/local/cuda}/lib64:${LD_LIBRARY_PATH:-}" PYTHONHOME="$PWD/python" PYTHONPATH="$PWD/python/lib/python3.11:$PWD/python/lib/python3.11/lib-dynload:$PWD/python/packages"
[ $# -gt 0 ] || set -- tests 1m
for what in "$@"; do
    case "$what" in
    tests) python/python3 tests/behaviour/run.py build || exit 1 ;;
    sanitize)
        sanitizer=$(command -v compute-sanitizer || echo "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer")
        "$sanitizer" --target-processes all --error-exitcode 9 python/python3 tests/behaviour/run.py build device || exit 1 ;;
    *) python/python3 tests/bench/gpu.py build "$what" || exit 1 ;;
    esac
done
RUN
chmod +x "$out/run"
tar cf - -C "$build" gpu-machine | xz -T0 -6 >"$build/gpu-machine.tar.xz"
size=$(stat -c %s "$build/gpu-machine.tar.xz")
rm -rf "$out"
echo "$build/gpu-machine.tar.xz: $((size / 1000000)) MB"
[ "$size" -lt 60000000 ] || { echo "gpu_archive: above 60 MB" >&2; exit 1; }
