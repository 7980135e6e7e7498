#!/bin/sh
# Makes a minimal root of a Debian release by debootstrap, with this machine's way to the network. An existing one is removed first.
# Needs root.
#   tests/root.sh SUITE ROOT PACKAGE,...
set -eu
suite=$1 root=$2 packages=$3
command -v debootstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq debootstrap; }
rm -rf "$root"
mkdir -p "$(dirname "$root")"
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$(ext/tools/deps.sh mirror)" >"$root.log" 2>&1 || { tail "$root.log"; exit 1; }
cp /etc/resolv.conf "$root/etc/resolv.conf"
for conf in /etc/apt/apt.conf.d/*roxy*; do [ -f "$conf" ] && cp "$conf" "$root/etc/apt/apt.conf.d/"; done
exit 0
