#!/bin/sh
# Proves the two commands where nothing is installed: a minimal Debian 12 root with make alone, a clean clone of HEAD in
# it, then `make demo`, `make test` and both again (now cached), by chroot. Needs root and debootstrap.
#   tests/fresh.sh [ROOT]      default build/fresh; an existing ROOT is removed first
set -eu
root=${1:-build/fresh}
[ "$(id -u)" = 0 ] || { echo "fresh: needs root"; exit 1; }

cleanup() { umount "$root/proc" 2>/dev/null || true; }
trap cleanup EXIT
cleanup
echo "fresh: debootstrap bookworm into $root"
tests/root.sh bookworm "$root" make
mount -t proc proc "$root/proc" 2>/dev/null || echo "fresh: no /proc in the root"
git clone -q --no-hardlinks . "$root/project"
rm -rf "$root/project/.git/hooks"

for command in "make demo" "make test" "make demo" "make test"; do
    started=$(date +%s)
    chroot "$root" /bin/sh -c "cd /project && HOME=/root $command" >"$root.out" 2>&1 || { tail -n 40 "$root.out"; echo "fresh: $command failed"; exit 1; }
    tail -n 1 "$root.out"
    echo "fresh: $command took $(($(date +%s) - started)) s"
done
