#!/bin/bash
# Installs Scapy from PyPI into ${PROXY_CACHE:-~/.cache/proxy}/scapy. Tests use it to build and decode
# packets. Does nothing when it is already installed.
set -euo pipefail

SCAPY=2.6.1

venv=$(realpath -m "${PROXY_CACHE:-$HOME/.cache/proxy}")/scapy
[ "$("$venv/bin/pip" --disable-pip-version-check freeze 2>/dev/null)" = "scapy==$SCAPY" ] && exit 0
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "scapy==$SCAPY"
