#!/bin/bash
# Shows the proxy at work with real connections, in a sandbox of network namespaces. Needs no cluster.
#   scripts/demo.sh [--keep]
# --keep leaves the sandbox running in the background, and prints how to enter it and how to remove it.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 0 ] || [ "$*" = --keep ] || { echo "usage: scripts/demo.sh [--keep]" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "demo: must run as root, because it creates network namespaces" >&2; exit 1; }

scripts/setup.sh
. scripts/env.sh
scripts/build.sh

demo=(deno run --quiet --allow-all scripts/demo/demo.ts)
[ $# -eq 1 ] || exec "${demo[@]}"

# The sandbox exists as long as the process that created it. Start that process in a new session, so that it
# survives this script.
status=0
while IFS= read -r line; do
  echo "$line"
  if [[ $line == *"✗ FAILED:"* ]]; then status=1; fi
  if [[ $line == "Remove the sandbox: "* ]]; then exit $status; fi
done < <(exec setsid "${demo[@]}" --keep 2>&1)
exit 1
