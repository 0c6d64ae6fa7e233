#!/bin/bash
# Runs an API server for tests: etcd and kube-apiserver, in the network namespace that this script is called
# in.
#   scripts/control-plane.sh start DIR    writes DIR/kubeconfig and returns when the API server is ready. Starts
#                                         etcd unless it still runs. Fails if kube-apiserver runs.
#   scripts/control-plane.sh stop DIR     ends both processes
# DIR keeps data, keys and logs: a later start with the same DIR has the same objects and the same kubeconfig.
# The caller brings lo up and removes DIR. Environment: ETCD_PORT, APISERVER_PORT, APISERVER_ADDRESS (for a
# server that other namespaces can reach), and APISERVER_FLAGS, which are added to the command line. Users in
# DIR/tokens.csv, which the first start writes, may make every request. The Service ranges are 10.96.0.0/16
# and fd00:10:96::/112.
set -euo pipefail

peers=${PROXY_CACHE:-$HOME/.cache/proxy}/peers
etcd=http://127.0.0.1:${ETCD_PORT:-2379}
address=${APISERVER_ADDRESS:-127.0.0.1}
port=${APISERVER_PORT:-6443}

main() {
  [ $# -eq 2 ] && [[ $1 = start || $1 = stop ]] || fail "usage: control-plane.sh start|stop DIR"
  umask 077
  mkdir -p "$2"
  dir=$(realpath "$2")
  "$1"
}

fail() {
  echo "control-plane: $*" >&2
  exit 1
}

start() {
  ! pid_of kube-apiserver >/dev/null || fail "already running in $dir"
  [ -e "$dir/sa.key" ] || openssl genrsa -out "$dir/sa.key" 2048 2>/dev/null
  [ -e "$dir/token" ] || openssl rand -hex 16 >"$dir/token"
  [ -e "$dir/tokens.csv" ] || echo "$(cat "$dir/token"),admin,admin,system:masters" >"$dir/tokens.csv"
  # If one of the two fails to start, stop the other.
  trap stop EXIT
  pid_of etcd >/dev/null || launch etcd --data-dir="$dir/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="$etcd" --advertise-client-urls="$etcd" --listen-peer-urls=http://127.0.0.1:0
  # endpoint-reconciler-type=none: the reconcilers reject a loopback address as endpoint of default/kubernetes.
  # shellcheck disable=SC2086 # one argument per flag
  launch kube-apiserver --etcd-servers="$etcd" --bind-address="$address" --advertise-address="$address" \
    --secure-port="$port" --endpoint-reconciler-type=none --cert-dir="$dir/certs" \
    --service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112 \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$dir/sa.key" --service-account-signing-key-file="$dir/sa.key" \
    --token-auth-file="$dir/tokens.csv" --authorization-mode=AlwaysAllow --disable-admission-plugins=ServiceAccount \
    ${APISERVER_FLAGS:-}
  wait_until_ready
  write_kubeconfig
  trap - EXIT
}

launch() {
  local name=$1
  shift
  [ -x "$peers/$name" ] || fail "$peers/$name not found: run scripts/peers.sh"
  setsid "$peers/$name" "$@" >>"$dir/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
  # Wait for the exec: until then the process has the arguments of this script, and pid_of does not recognise
  # it.
  until pid_of "$name" >/dev/null || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
}

wait_until_ready() {
  local name until=$((SECONDS + 120))
  until [ "$(get /readyz)" = ok ]; do
    for name in etcd kube-apiserver; do
      pid_of $name >/dev/null || fail "$name ended: $(tail -n 1 "$dir/$name.log" | cut -c1-500)"
    done
    [ $SECONDS -lt $until ] || fail "not ready after 120 s; see $dir/*.log"
    sleep 0.2
  done
}

get() { curl -s --noproxy '*' -k -H "Authorization: Bearer $(cat "$dir/token")" "https://$address:$port$1" || true; }

write_kubeconfig() {
  # kube-apiserver writes two certificates to its certificate file: first its own, then that of its CA.
  awk '/BEGIN CERTIFICATE/ { n++ } n == 2' "$dir/certs/apiserver.crt" >"$dir/ca.crt"
  cat >"$dir/kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: admin } }]
clusters:
  - name: test
    cluster: { server: "https://$address:$port", certificate-authority-data: $(base64 -w0 "$dir/ca.crt") }
users: [{ name: admin, user: { token: $(cat "$dir/token") } }]
YAML
}

# Stops the API server first, so that it does not log the loss of etcd.
stop() {
  local name pid
  for name in kube-apiserver etcd; do
    pid=$(pid_of $name) || continue
    kill "$pid"
    timeout 10 tail --pid="$pid" -s 0.1 -f /dev/null || kill -9 "$pid"
  done
  rm -f "$dir"/{etcd,kube-apiserver}.pid
}

# Prints the process id of a running program. Both programs have DIR in their arguments, so a process id that
# the system has reused is not mistaken for one of them.
pid_of() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) && grep -qzF -- "=$dir/" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

main "$@"
