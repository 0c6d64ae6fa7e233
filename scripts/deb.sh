#!/bin/bash
# Builds the Debian package of the proxy: dist/proxy_VERSION_ARCHITECTURE.deb.
#   scripts/deb.sh [amd64|arm64]      the processor; default: that of this machine
# The same inputs give the same package. Does nothing when it is up to date.
#   PROXY_DEB_COMPRESSION   xz (default) or none, for tests: compression takes most of the time
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

main() {
  local machine version
  machine=$(dpkg --print-architecture)
  architecture=${1:-$machine}
  case $architecture in
    "$machine") binary=dist/proxy parts=dist/embed ;;
    arm64) binary=dist/proxy-arm64 parts=dist/arm64/embed ;;
    *) fail "unknown architecture $architecture: must be $machine or arm64" ;;
  esac
  [ -x "$binary" ] || fail "$binary not found: run scripts/build.sh$([ "$architecture" = "$machine" ] || echo " --arch $architecture")"
  version=$(sed -nE 's/^  "version": "(.*)",$/\1/p' deno.json)-1
  compression=${PROXY_DEB_COMPRESSION:-xz}
  package=dist/proxy_${version}_$architecture$([ "$compression" = xz ] || echo ".$compression").deb

  local key
  key=$(find scripts/deb.sh scripts/deb deploy/debian deploy/systemd core backends CHANGELOG.md "$binary" -type f -print0 |
    sort -z | xargs -0 sha256sum | sha256sum)
  if [ -e "$package" ] && [ "$(cat "$package.key" 2>/dev/null)" = "$key" ]; then
    echo "deb: $package is up to date"
    return
  fi

  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  root=$work/root
  # Files in it have the time of the last release note, so that they do not depend on the build.
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct -- CHANGELOG.md)}
  export SOURCE_DATE_EPOCH
  install_files
  write_control "$version"
  chmod -R u=rwX,go=rX "$root"
  find "$root" -print0 | xargs -0 touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
  # -z1: a tenth larger than the best compression, in a fifth of the time.
  dpkg-deb --root-owner-group "-Z$compression" -z1 --build "$root" "$package.new" >/dev/null
  mv "$package.new" "$package"
  echo "$key" >"$package.key"
  echo "deb: $package ($(du -h --apparent-size "$package" | cut -f1))"
}

fail() {
  echo "deb: $*" >&2
  exit 1
}

install_files() {
  local doc=$root/usr/share/doc/proxy
  # Not /usr/bin/proxy, which belongs to the package libproxy-tools.
  install -D -m 755 "$binary" "$root/usr/sbin/proxy"
  install -D -m 644 deploy/systemd/proxy.service "$root/usr/lib/systemd/system/proxy.service"
  install -D -m 644 --target-directory="$root/usr/share/proxy/systemd" deploy/systemd/{ebpf,userspace}.conf
  install -D -m 644 deploy/debian/config.conf "$root/etc/proxy/config.conf"
  install -D -m 644 deploy/debian/default "$root/etc/default/proxy"
  install -D -m 644 deploy/debian/copyright "$doc/copyright"
  install -D -m 644 deploy/debian/lintian-overrides "$root/usr/share/lintian/overrides/proxy"
  from_table "$root/usr/share/man/man8/proxy.8" scripts/deb/manual.ts
  from_table "$root/usr/share/bash-completion/completions/proxy" main.ts completion bash
  from_table "$root/usr/share/zsh/vendor-completions/_proxy" main.ts completion zsh
  from_table "$root/usr/share/fish/vendor_completions.d/proxy.fish" main.ts completion fish
  cp CHANGELOG.md "$doc/changelog"
  printf 'proxy (%s) unstable; urgency=medium\n\n  * Built from the sources of version %s.\n\n -- %s  %s\n' \
    "$version" "${version%-*}" "$maintainer" "$(date --utc --date="@$SOURCE_DATE_EPOCH" -R)" >"$doc/changelog.Debian"
  gzip --best --no-name "$doc/changelog" "$doc/changelog.Debian" "$root/usr/share/man/man8/proxy.8"
}

# The field must have an address, and the project has none. No mail can be delivered to .invalid (RFC 2606).
maintainer="The authors of proxy <authors@proxy.invalid>"

# Writes what a program of this project prints.
#   from_table FILE SCRIPT [ARGUMENT]...
from_table() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  deno run --no-check --quiet --allow-all "$@" >"$file"
}

write_control() {
  local control=$root/DEBIAN
  mkdir "$control"
  for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$control/$script"; done
  printf '/etc/proxy/config.conf\n/etc/default/proxy\n' >"$control/conffiles"
  (cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$control/md5sums"
  cat >"$control/control" <<CONTROL
Package: proxy
Version: $1
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du --summarize --apparent-size --block-size=1024 "$root" | cut -f1)
Depends: libc6 (>= $(newest_libc)), libgcc-s1, init-system-helpers (>= 1.54~)
Section: net
Priority: optional
Description: service proxy for Kubernetes nodes
 Forwards connections to Kubernetes Services to one of their endpoints, on the
 node it runs on. It replaces kube-proxy: it takes its flags and its
 configuration file, and takes over its rules without losing a connection.
 .
 Modes are nftables, iptables, ipvs, ebpf and userspace. No other program is
 needed: the kernel is programmed over netlink.
CONTROL
}

# Prints the newest version of the C library that the program, or a library in it, needs a symbol of.
newest_libc() {
  cat "$binary" "$parts"/*.so.* | grep -aoE 'GLIBC_2\.[0-9]+' | sort -Vu | tail -n 1 | cut -d_ -f2
}

main "$@"
