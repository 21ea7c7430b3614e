#!/bin/sh
# Starts the web server as a daemon: its output goes to a file, so that the hook's own output is closed when it ends.
root="${TOWLINE_ROOT:-}"
mkdir -p "$root/run" "$root/var/log"
setsid python3 "$root/srv/shop/shop.py" "${root:-/}" </dev/null >"$root/var/log/shop.log" 2>&1 &
echo $! >"$root/run/shop.pid"
echo "started $!"
