#!/bin/sh
# Restarts the storefronts behind haproxy.cfg one after the other, so that no customer sees an error.
#
#   SOCKET=/tmp/haproxy.sock rolling.sh 'systemctl restart shop-a' 'systemctl restart shop-b'
#
# The commands restart a and b: each has ended when its command returns, and is let in again when a health check after that passes.
set -eu
[ $# = 2 ] || { echo "usage: SOCKET=PATH rolling.sh RESTART_A RESTART_B" >&2; exit 2; }

ask() { python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall((sys.argv[2] + "\n").encode())
print(b"".join(iter(lambda: s.recv(65536), b"")).decode().strip(), end="")' "$SOCKET" "$1"; }
say() { # HAProxy answers what it has done with nothing
    answer=$(ask "$1")
    [ -z "$answer" ] || { echo "rolling: $1: $answer" >&2; exit 1; }
}
# field NAME SERVER: of HAProxy's statistics, by the name of their column
field() { ask "show stat storefront 4 -1" | awk -F, -v name="$1" -v server="$2" '
    /^#/ { sub(/^# /, ""); for (i = 1; i <= NF; i++) if ($i == name) column = i; next } $2 == server { print $column }'; }
wait_until() { # what it says, and the command that must succeed within a minute
    what=$1 end=$(($(date +%s) + 60))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || { echo "rolling: $what" >&2; exit 1; }
        sleep .1
    done
}
is_idle() { [ "$(field scur "$1")" = 0 ]; }
is_up() { case "$(field status "$1")" in UP* | DRAIN) [ "$(field check_status "$1")" = L7OK ] ;; *) false ;; esac; }

for server in a b; do
    # Whatever happens, who answers is let in again.
    trap 'ask "set server storefront/$server state ready" >/dev/null' EXIT
    say "set server storefront/$server state drain"
    wait_until "$server is not let go by its customers" is_idle "$server"
    sh -c "$1"
    shift
    # From here on: what a check found before does not count.
    say "set server storefront/$server health down"
    wait_until "$server does not come back" is_up "$server"
    say "set server storefront/$server state ready"
    trap - EXIT
done
