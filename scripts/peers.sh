#!/bin/bash
# Builds what tests and benchmarks compare with or talk to, from Go modules, and keeps it:
#   scripts/peers.sh [etcd] [kube-apiserver] [kube-proxy]      (none named: all)
# into ${PROXY_CACHE:-~/.cache/proxy}/peers. Takes about 10 minutes on 2 cores the first time, nothing after.
set -euo pipefail

KUBERNETES=v1.37.1
STAGING=v0.37.1 # the k8s.io/* modules that live in Kubernetes' own tree
ETCD=v3.7.0     # what k8s.io/kubernetes v1.37.1 requires and kubeadm 1.37 deploys
GO=1.26         # what its go.mod asks for

cache=${PROXY_CACHE:-$HOME/.cache/proxy}
out=$cache/peers

say() { echo "peers: $*"; }
fail() { echo "peers: $*" >&2; exit 1; }

main() {
  local name missing=()
  for name in "${@:-etcd kube-apiserver kube-proxy}"; do :; done
  [ $# -gt 0 ] || set -- etcd kube-apiserver kube-proxy
  for name; do is_built "$name" || missing+=("$name"); done
  [ ${#missing[@]} -gt 0 ] || return 0
}
