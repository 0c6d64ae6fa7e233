#!/bin/bash
# Makes the pictures of docs/images that the README and docs/status.md show: the page of a running proxy in Chromium, and
# `proxy status --watch`, `explain` and `check`. Takes six minutes, as root.
#   scripts/screenshots.sh [SECONDS [PICTURE…]]
#     SECONDS of traffic and changes before the pictures, by default 200
#     PICTURE: page, page-service, page-phone, status, explain or check; by default all
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh page
. scripts/env.sh
scripts/build.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RUNTIME_DIRECTORY=$work/run
# The terminal has colours.
unset NO_COLOR
mkdir "$work/run" "$work/images"
deno run --quiet --no-check -A tests/page/screenshots.ts "$work/images" "$@"
pngquant --force --ext .png --quality 70-95 --speed 1 --strip "$work"/images/*.png
cp "$work"/images/*.png docs/images/
du --bytes docs/images/*.png
