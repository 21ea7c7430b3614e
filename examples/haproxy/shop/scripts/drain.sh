#!/bin/sh
exec python3 "${0%/*}/traffic.py" drain
