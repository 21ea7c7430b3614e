#!/bin/sh
# Where systemd runs: systemctl start shop. The output goes elsewhere, so that the hook's own is closed when it ends.
setsid python3 /srv/shop/shop.py </dev/null >/var/log/shop.log 2>&1 &
echo $! >/run/shop.pid
