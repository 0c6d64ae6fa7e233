#!/bin/bash
# Installs Scapy, which builds and reads the packets of tests, from PyPI into ${PROXY_CACHE:-~/.cache/proxy}/scapy;
# takes no time when it is there.
set -euo pipefail

SCAPY=2.6.1

venv=$(realpath -m "${PROXY_CACHE:-$HOME/.cache/proxy}")/scapy
[ "$("$venv/bin/pip" --disable-pip-version-check freeze 2>/dev/null)" = "scapy==$SCAPY" ] && exit 0
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "scapy==$SCAPY"
