#!/bin/sh
# Asks for the page itself, before the host gets traffic: a health check says little of what customers see.
release=$(cat "${0%/*}/../release")
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  said=$(curl -sS --max-time 5 http://127.0.0.1:8080/ 2>&1)
  case "$said" in "shop $release on "*) echo "$said"; exit 0 ;; esac
  sleep 0.3
done
echo "the page should begin with 'shop $release on', but: $said" >&2
exit 1
