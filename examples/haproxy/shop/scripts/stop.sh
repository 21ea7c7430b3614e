#!/bin/sh
# Where systemd runs: systemctl stop shop.
[ -f /run/shop.pid ] || exit 0
pid=$(cat /run/shop.pid)
kill "$pid" 2>/dev/null
while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -f /run/shop.pid
