#!/bin/sh
# Restarts the storefronts behind haproxy.cfg one after the other, so that no customer sees an error.
#
#   SOCKET=/tmp/haproxy.sock rolling.sh 'systemctl restart shop-a' 'systemctl restart shop-b'
#
# The commands restart a and b, and may return before they answer: each is let in again when its health check passes.
set -eu

say() { python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall((sys.argv[2] + "\n").encode())
print(b"".join(iter(lambda: s.recv(65536), b"")).decode(), end="")' "$SOCKET" "$1"; }
# field NAME SERVER: of HAProxy's statistics, by the name of their column
field() { say "show stat storefront 4 -1" | awk -F, -v name="$1" -v server="$2" '
    /^#/ { sub(/^# /, ""); for (i = 1; i <= NF; i++) if ($i == name) column = i; next } $2 == server { print $column }'; }
wait_until() { # what it says, and the command that must succeed, for a minute at most
    what=$1 tries=600
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "rolling: $what" >&2; exit 1; }
        sleep .1
    done
}
is_idle() { [ "$(field scur "$1")" = 0 ]; }
is_up() { case "$(field status "$1")" in UP* | DRAIN) [ "$(field check_status "$1")" = L7OK ] && [ "$(field lastchg "$1")" -ge 0 ] ;; *) false ;; esac; }

for server in a b; do
    [ $# -gt 0 ] || break
    say "set server storefront/$server state drain" >/dev/null
    wait_until "$server is not let go by its customers" is_idle "$server"
    # From here no check that was made before the restart counts.
    say "set server storefront/$server health down" >/dev/null
    sh -c "$1"
    shift
    wait_until "$server does not come back" is_up "$server"
    say "set server storefront/$server state ready" >/dev/null
done
