#!/bin/bash
# Shows the proxy at work in a sandbox of network namespaces, with real connections:   scripts/demo.sh [--keep]
# Needs no cluster. --keep leaves the sandbox up in the background and says how to enter it and how to tear it down.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 0 ] || [ "$*" = --keep ] || { echo "usage: scripts/demo.sh [--keep]" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "demo: run as root: it makes network namespaces" >&2; exit 1; }

scripts/setup.sh
. scripts/env.sh
scripts/build.sh

demo=(deno run --quiet --allow-all scripts/demo/demo.ts)
[ $# -eq 1 ] || exec "${demo[@]}"

# The sandbox lives as long as the process that made it, in a session of its own.
status=0
while IFS= read -r line; do
  echo "$line"
  if [[ $line == *"NOT SO"* ]]; then status=1; fi
  if [[ $line == "Tear it down: "* ]]; then exit $status; fi
done < <(exec setsid "${demo[@]}" --keep 2>&1)
exit 1
