#!/bin/sh
# Ends the web server, if one runs. TOWLINE_ROOT is where a local instance lives; on a real host it is not set.
pidfile="${TOWLINE_ROOT:-}/run/shop.pid"
[ -f "$pidfile" ] || exit 0
pid=$(cat "$pidfile")

# A zombie has ended too: in a container whose first process reaps nobody it stays in the table.
runs() { case "$(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null)" in '' | Z) return 1 ;; esac; }

kill "$pid" 2>/dev/null
while runs; do sleep 0.05; done
rm -f "$pidfile"
echo "stopped $pid"
