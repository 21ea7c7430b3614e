#!/bin/sh
# Makes Temporal's namespace and towline's search attributes; may be run again. Temporal by TEMPORAL_ADDRESS and
# TEMPORAL_NAMESPACE. Only where workers may not register search attributes themselves is it needed.
set -eu

namespace=${TEMPORAL_NAMESPACE:-default}
retention=${1:-30d}

tries=0
until temporal operator cluster health >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    echo "temporal-setup: no Temporal at ${TEMPORAL_ADDRESS:-localhost:7233} within two minutes" >&2
    exit 1
  fi
  sleep 2
done

if ! temporal operator namespace describe --namespace "$namespace" >/dev/null 2>&1; then
  temporal operator namespace create --namespace "$namespace" --retention "$retention"
fi

# A namespace is seen by every part of the server some seconds after it was made.
tries=0
until temporal operator search-attribute create --namespace "$namespace" \
  --name TowlineApplication --type Keyword \
  --name TowlineGroup --type Keyword \
  --name TowlineStatus --type Keyword \
  --name TowlineRevision --type Keyword; do
  tries=$((tries + 1))
  if [ "$tries" -ge 30 ]; then
    echo "temporal-setup: the search attributes cannot be registered in $namespace" >&2
    exit 1
  fi
  sleep 1
done
echo "temporal-setup: $namespace is ready"
