# shellcheck shell=bash disable=SC2016  # apt expands the variables of formats
# Functions that fetch Debian packages of another release or another processor without changing the machine: apt gets a
# configuration, lists and a cache of its own, and checks signatures with Debian's keys. For scripts that define `fail`.
#   . scripts/debian.sh

# Directory of the configuration that `private` uses.
debian=

# Prepares a configuration in a directory, with the mirrors of this machine.
#   use_debian DIRECTORY ARCHITECTURE SUITE...
use_debian() {
  local suite mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
  debian=$1 architecture=$2
  shift 2
  [ -e "$keys" ] || fail "$keys not found: apt-get install debian-archive-keyring"
  rm -rf "$debian"
  mkdir -p "$debian"/{lists/partial,cache/archives/partial,none}
  : >"$debian/status"
  for suite; do
    case $suite in *-security) mirror=$(debian_mirror /debian-security/) ;; *) mirror=$(debian_mirror /debian/) ;; esac
    echo "deb [arch=$architecture signed-by=$keys] $mirror $suite main"
  done >"$debian/sources.list"
  quietly private apt-get update
}

# Prints the suites that apt of this machine follows for its release of Debian, those with updates included.
suites_of_this_machine() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets 'Created-By: Packages' 'Origin: Debian' --format '$(RELEASE)' |
    grep -E "^$codename(-updates|-security)?$" | sort -u | grep . ||
    fail "apt follows no suite of Debian $codename on this machine: add one to its sources"
}

# Runs a command of apt with the configuration of `use_debian`.
private() {
  local command=$1
  shift
  "$command" -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
    -o Dir::Etc::SourceList="$debian/sources.list" -o Dir::Etc::SourceParts="$debian/none" \
    -o Dir::Etc::PreferencesParts="$debian/none" -o Dir::State::Lists="$debian/lists" -o Dir::State::status="$debian/status" \
    -o Dir::Cache="$debian/cache" -o APT::Sandbox::User=root "$@"
}

# Runs a command, and shows its output only when it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || fail "$* failed:"$'\n'"$output"
}

debian_mirror() {
  apt-get indextargets 'Created-By: Packages' 'Origin: Debian' --format '$(REPO_URI)' | grep -m 1 "$1\$" ||
    fail "apt has no Debian mirror on this machine: add one to its sources"
}
