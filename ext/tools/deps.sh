#!/bin/sh
# Installs what the project needs on Debian 12 and builds FAISS with its C API.
#
#   ext/tools/deps.sh packages GROUP...   install the missing Debian packages of the groups build, test, lint, fuzz, dist, cross, notebooks, browser, hosts, storefront, manifests, cluster
#   ext/tools/deps.sh faiss               build FAISS once, print the folder that holds lib/ and include/
#   ext/tools/deps.sh faiss-gpu           the same with FAISS's GPU part (needs the CUDA toolkit; half an hour on two cores), for
#                                     the architectures CUDA_ARCHS, as CMake takes them (default 90: code for it, PTX for later ones)
#
#   ext/tools/deps.sh portable        what ext/tools/portable.mk links with, once: libc/ (the C library of Debian 11, glibc 2.31: headers and
#                                     stubs to link with) and lib/ (libjansson.a, position independent); prints the folder
#   ext/tools/deps.sh root ARCH       the distribution's libraries, shell and Python for another architecture (arm64), unpacked once, to link with and to
#                                     run under an emulator; prints the folder
#   ext/tools/deps.sh mirror          the mirror of Debian that this machine uses
#
# ARCH=arm64 in the environment makes `faiss` and `portable` for that architecture, by a cross compiler.
#
# FAISS comes from the distribution's own source package and is cached outside the tree, in
# ${XDG_CACHE_HOME:-$HOME/.cache}/sqlite-recommend/faiss-<version>-<flags>. Two variables override that:
#   FAISS_SRC=DIR      a FAISS checkout to build instead (1.7.3 .. 1.15 known to build)
#   FAISS_PREFIX=DIR   an installed copy: DIR/lib/libfaiss.a, DIR/lib/libfaiss_c.a, DIR/include/faiss
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "deps: $*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "root is needed for: $*"
    fi
}

# Each word is a Debian package; the list says what it is for.
group_packages() {
    case "$1" in
    build) # compiler, SQLite headers and shell, OpenBLAS, JSON, SHA-256, BLAKE2b and random numbers, XXH3, the characters of Unicode, what builds FAISS, the data's gzip
        echo gcc g++ libc6-dev cmake libsqlite3-dev sqlite3 libopenblas-dev libjansson-dev libmd-dev libsodium-dev libxxhash-dev libutf8proc-dev dpkg-dev gzip ca-certificates ;;
    test) # Debian's Python loads extensions; NumPy, SciPy and scikit-learn are the oracles; git lists the files for lint; a decimal comma is made from locales; prometheus (with promtool) reads our counters;
        # the rest are what the Python package is loaded into
        echo python3 python3-numpy python3-scipy python3-sklearn git locales prometheus binutils python3-apsw python3-sqlalchemy python3-greenlet python3-django python3-aiosqlite python3-flask ;;
    lint) echo clang clang-format cppcheck ;;
    dist) echo libopenblas-dev libopenblas-pthread-dev patchelf debootstrap python3-pip python3-venv python3-setuptools python3-wheel ;; # the static OpenBLAS; an older root to try the wheel in
    cross) echo gcc-aarch64-linux-gnu g++-aarch64-linux-gnu qemu-user-static ;; # ARCH=arm64
    notebooks) echo python3-pandas python3-matplotlib python3-ipykernel python3-nbclient python3-sqlalchemy ;; # docs/notebooks
    browser) echo chromium chromium-driver python3-selenium fonts-dejavu-core ;; # looks at docs/examples/storefront
    storefront) echo python3-flask gunicorn sqlite3 nginx-light haproxy ;; # docs/examples/storefront, and what it stands behind in make bench-storefront and the tests
    hosts) # the languages of docs/hosts.md with their SQLite
        echo gcc libsqlite3-dev golang-go golang-github-mattn-go-sqlite3-dev cargo rustc librust-rusqlite-dev php-cli php-sqlite3 perl libdbd-sqlite3-perl \
            ruby ruby-sqlite3 r-base-core r-cran-rsqlite default-jdk-headless libxerial-sqlite-jdbc-java tcl libsqlite3-tcl python3-venv ;;
    manifests) echo docker-compose python3-yaml ;; # reads docs/examples/storefront/compose.yaml; its `config` needs no daemon
    cluster) echo libdqlite-dev ;; # docs/examples/cluster
    fuzz) echo python3-xxhash ;; # mends the checksums of what it changes
    *) die "unknown package group '$1' (build, test, lint, fuzz, dist, cross, notebooks, browser, hosts, storefront, manifests, cluster)" ;;
    esac
}

install_packages() {
    missing=
    for group in "$@"; do
        for package in $(group_packages "$group"); do
            dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
                missing="$missing $package"
        done
    done
    [ -n "$missing" ] || return 0
    say "deps: installing$missing"
    patiently as_root apt-get update -qq
    # shellcheck disable=SC2086 -- a list of words
    patiently as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

# Runs apt-get. While another package manager is at work (on a new cloud machine for its first minutes) it waits, at most
# LOCK_SECONDS (default 600), and says so. apt's own option DPkg::Lock::Timeout knows one of its three locks.
patiently() {
    waited=0
    errors=$(mktemp)
    while ! "$@" >&2 2>"$errors"; do
        if ! grep -qE 'Could not get lock|Unable to (lock|acquire)' "$errors" || [ "$waited" -ge "${LOCK_SECONDS:-600}" ]; then
            cat "$errors" >&2
            rm -f "$errors"
            return 1
        fi
        [ "$waited" -gt 0 ] || say "deps: another package manager is at work; waiting for it (up to ${LOCK_SECONDS:-600} s) ..."
        sleep 5
        waited=$((waited + 5))
    done
    cat "$errors" >&2
    rm -f "$errors"
}

# fetch_debian_source PACKAGE: by the machine's own source lists with deb turned into deb-src, in a folder of ours: no root, no
# change outside it.
fetch_debian_source() {
    package=$1
    mkdir -p apt/parts apt/lists/partial
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$list" ] && sed -n 's/^deb /deb-src /p' "$list" >>apt/parts/source.list
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -f "$list" ] && sed 's/^Types:.*/Types: deb-src/' "$list" >"apt/parts/$(basename "$list")"
    done
    set -- -qq -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$PWD/apt/parts" \
        -o "Dir::State::Lists=$PWD/apt/lists" -o APT::Sandbox::User=
    apt-get "$@" update >&2
    apt-get "$@" source "$package" >&2
}

# The machine's own mirror of the distribution.
mirror() {
    found=$(sed -n 's/^URIs: *//p; s/^deb [^h]*\(http[^ ]*\) .*/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)
    echo "${found:-http://deb.debian.org/debian}"
}

# fetch_packages ARCH SUITE HOW PACKAGE...: binary packages of a release of the distribution for an architecture, by the machine's own
# mirror, into apt/archives. HOW: alone, or with what they depend on (closure).
fetch_packages() {
    arch=$1 suite=$2 how=$3
    shift 3
    mkdir -p apt/parts apt/lists/partial apt/archives/partial
    : >apt/status
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$(mirror)" "$suite" >apt/parts/suite.list
    names=$*
    set -- -qq -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$PWD/apt/parts" -o "Dir::State::Lists=$PWD/apt/lists" \
        -o "Dir::State::status=$PWD/apt/status" -o "Dir::Cache::archives=$PWD/apt/archives" -o APT::Sandbox::User= \
        -o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
    apt-get "$@" update >&2
    # shellcheck disable=SC2086 -- a list of words
    case "$how" in
    closure) apt-get "$@" install -y --no-install-recommends --download-only $names >&2 ;;
    *) (cd apt/archives && apt-get "$@" download $names >&2) ;;
    esac
}

# unpack_packages FOLDER: what fetch_packages fetched. Links to /lib are meant inside.
unpack_packages() {
    for package in apt/archives/*.deb; do dpkg-deb -x "$package" "$1"; done
    find "$1" -type l -lname '/*' | while read -r link; do ln -sfnr "$1$(readlink "$link")" "$link"; done
}

# What is built is for this machine, or for ARCH by its cross compiler.
NATIVE=$(dpkg --print-architecture)
ARCH=${ARCH:-$NATIVE}
[ "$ARCH" = "$NATIVE" ] || [ "$ARCH" = arm64 ] || die "ARCH=$ARCH (arm64, or none for this machine, $NATIVE)"
triplet() { dpkg-architecture -a"$1" -qDEB_HOST_MULTIARCH 2>/dev/null; } # of dpkg-dev, a package of the group build

# root ARCH: Debian 12 for that architecture.
root() {
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/sqlite-recommend
    prefix=$cache/root-bookworm-$1-1
    if [ ! -d "$prefix" ]; then
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/work.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        say "deps: fetching the libraries of Debian 12 for $1 (once, 120 MB) ..."
        (cd "$work" && fetch_packages "$1" bookworm closure libc6-dev libstdc++-12-dev libopenblas-pthread-dev libjansson-dev libmd-dev libsodium-dev \
            libutf8proc-dev libxxhash-dev libsqlite3-dev sqlite3 python3 python3-numpy python3-scipy && unpack_packages "$work/root")
        # Links that the distribution makes when it installs.
        (cd "$work/root/usr/lib/$(triplet "$1")" && ln -sf openblas-pthread/lib* . && cd "$work/root/usr/include/$(triplet "$1")" && ln -sf openblas-pthread/*.h .)
        mv "$work/root" "$prefix"
    fi
    echo "$prefix"
}

# CMake's flags for ARCH.
cmake_cross() {
    [ "$ARCH" != "$NATIVE" ] || return 0
    for_triplet=$(triplet "$ARCH")
    blas=$(root "$ARCH")/usr/lib/$for_triplet/libopenblas.so
    echo "-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=${for_triplet%%-*} -DCMAKE_C_COMPILER=$for_triplet-gcc -DCMAKE_CXX_COMPILER=$for_triplet-g++" \
        "-DBLAS_LIBRARIES=$blas -DLAPACK_LIBRARIES=$blas"
}

# Builds the checkout $1 and installs lib/ and include/ under $2, with CMake's further flags. No AVX: one object runs on every
# x86-64; the kernels that matter are replaced by our own, chosen at run time (docs/decisions/0002-one-faiss-for-every-cpu.md).
build_faiss() {
    src=$1 prefix=$2
    shift 2
    # shellcheck disable=SC2046 -- a list of words
    cmake -S "$src" -B build $(cmake_cross) -DCMAKE_BUILD_TYPE=Release -DFAISS_ENABLE_C_API=ON \
        -DFAISS_ENABLE_PYTHON=OFF -DBUILD_TESTING=OFF -DBUILD_SHARED_LIBS=OFF -DFAISS_OPT_LEVEL=generic \
        -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBLA_VENDOR=OpenBLAS "$@" >cmake.log 2>&1 || { tail -20 cmake.log >&2; return 1; }
    say "deps: building FAISS (a few minutes, with its GPU part half an hour, once) ..."
    cmake --build build --target faiss faiss_c -j "$(nproc)" >build.log 2>&1 || { tail -20 build.log >&2; return 1; }
    mkdir -p "$prefix.new/lib" "$prefix.new/include/faiss"
    find build -name libfaiss.a -exec cp {} "$prefix.new/lib/" \;
    find build -name libfaiss_c.a -exec cp {} "$prefix.new/lib/" \;
    (cd "$src" && find faiss c_api -name '*.h' -o -name '*.cuh' | tar cf - -T -) | tar xf - -C "$prefix.new/include"
    # The C API's headers are installed as faiss/c_api, and include each other by bare name.
    mv "$prefix.new/include/c_api" "$prefix.new/include/faiss/c_api"
    mv "$prefix.new" "$prefix"
}

# FAISS 1.7.3's GPU part under a new CUDA: C++17, and the header that cuBLAS has now. And what would end the process becomes an
# exception: failed assertions and CUDA errors, but while another exception is on its way (destructors call CUDA, too).
prepare_gpu_source() {
    sed -i 's/CMAKE_CXX_STANDARD 11/CMAKE_CXX_STANDARD 17/' "$1/CMakeLists.txt"
    grep -rl 'include <cublas.h>' "$1" | while read -r file; do sed -i 's/include <cublas.h>/include <cublas_v2.h>/' "$file"; done
    sed -i -e 's/#include <faiss\/impl\/FaissException.h>/#include <exception>\n&/' \
        -e '/define FAISS_ASSERT/,/while (false)/{s/abort();/throw faiss::FaissException("assertion " #X " failed", __PRETTY_FUNCTION__, __FILE__, __LINE__);/;s/if (!(X))/if (!(X) \&\& std::uncaught_exceptions() == 0)/}' \
        "$1/faiss/impl/FaissAssert.h"
    sed -i '/define CUDA_VERIFY/,/while/{s/FAISS_ASSERT_FMT/FAISS_THROW_IF_NOT_FMT/;s/err__ == cudaSuccess,/err__ == cudaSuccess || std::uncaught_exceptions() > 0,/}' \
        "$1/faiss/gpu/utils/DeviceUtils.h"
}

# faiss SUFFIX FLAG...: the cached build of that name, built with the flags where it is not there yet.
faiss() {
    suffix=$1
    shift
    if [ -n "${FAISS_PREFIX:-}" ]; then
        [ -f "$FAISS_PREFIX/lib/libfaiss_c.a" ] || die "FAISS_PREFIX=$FAISS_PREFIX has no lib/libfaiss_c.a"
        echo "$FAISS_PREFIX"
        return
    fi
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/sqlite-recommend
    if [ -n "${FAISS_SRC:-}" ]; then
        [ -f "$FAISS_SRC/CMakeLists.txt" ] || die "FAISS_SRC=$FAISS_SRC has no CMakeLists.txt"
        version=src-$(printf %s "$(cd "$FAISS_SRC" && pwd)" | cksum | cut -d' ' -f1)
    else
        version=$(apt-cache policy libfaiss-dev 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9.]*\).*/\1/p')
        version=${version:-1.7.3}
    fi
    prefix=$cache/faiss-$version-$suffix
    if [ ! -f "$prefix/lib/libfaiss_c.a" ]; then
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/work.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        cd "$work"
        if [ -n "${FAISS_SRC:-}" ]; then source=$FAISS_SRC
        else fetch_debian_source faiss; source=$(find "$work" -maxdepth 1 -type d -name 'faiss-*')
        fi
        case "$suffix" in gpu*) cp -r "$source" source-gpu && source=$PWD/source-gpu && prepare_gpu_source "$source" ;; esac
        build_faiss "$source" "$prefix" "$@"
    fi
    echo "$prefix"
}

faiss_gpu() {
    nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
    [ -x "$nvcc" ] || die "the CUDA toolkit is not here: no nvcc in PATH or under /usr/local/cuda/bin (CUDACXX= names another)"
    archs=${CUDA_ARCHS:-90}
    faiss "gpu-$(printf %s "$archs" | tr ';' '_')" -DFAISS_ENABLE_GPU=ON "-DCMAKE_CUDA_COMPILER=$nvcc" "-DCMAKE_CUDA_ARCHITECTURES=$archs" \
        -DCMAKE_CXX_STANDARD=17 -DCMAKE_CUDA_STANDARD=17
}

# The C library of an older release to link with, and jansson, whose archive the distribution does not build position independent.
portable() {
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/sqlite-recommend
    prefix=$cache/portable-bullseye-$ARCH-1
    if [ ! -f "$prefix/lib/libjansson.a" ]; then
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/work.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        mkdir -p "$work/old" "$work/source" "$work/prefix/lib"
        say "deps: fetching the C library of Debian 11 and jansson's source (once) ..."
        (cd "$work/old" && fetch_packages "$ARCH" bullseye alone libc6 libc6-dev linux-libc-dev libcrypt1 libcrypt-dev && unpack_packages "$work/prefix/libc")
        (cd "$work/source" && fetch_debian_source jansson)
        # shellcheck disable=SC2046 -- a list of words
        cmake -S "$(find "$work/source" -maxdepth 1 -type d -name 'jansson-*')" -B "$work/jansson" $(cmake_cross) -DCMAKE_BUILD_TYPE=Release \
            -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_EXAMPLES=OFF >"$work/log" 2>&1 &&
            cmake --build "$work/jansson" >>"$work/log" 2>&1 || { tail -20 "$work/log" >&2; die "jansson did not build"; }
        find "$work/jansson" -name libjansson.a -exec cp {} "$work/prefix/lib/" \;
        mv "$work/prefix" "$prefix"
    fi
    echo "$prefix"
}

case "${1:-}" in
packages) shift; install_packages "$@" ;;
faiss) faiss "generic-pic$([ "$ARCH" = "$NATIVE" ] || echo "-$ARCH")" -DFAISS_ENABLE_GPU=OFF ;;
faiss-gpu) faiss_gpu ;;
portable) portable ;;
root) root "${2:?an architecture}" ;;
mirror) mirror ;;
*) die "usage: deps.sh packages GROUP... | deps.sh faiss | deps.sh faiss-gpu | deps.sh portable | deps.sh root ARCH | deps.sh mirror" ;;
esac
