# The pinned toolchain, for scripts and shells:  . scripts/env.sh    (scripts/setup.sh installs what it names)
PROXY_CACHE=$(realpath -m "${PROXY_CACHE:-$HOME/.cache/proxy}")
PROXY_DENO_VERSION=2.6.10
export PROXY_CACHE PROXY_DENO_VERSION

case :$PATH: in
  *:"$PROXY_CACHE/deno/bin":*) ;;
  *) export PATH="$PROXY_CACHE/deno/bin:$PATH" ;;
esac
export DENO_NO_UPDATE_CHECK=1
# Behind a proxy that re-signs TLS only the system's store knows the issuer.
export DENO_TLS_CA_STORE=system,mozilla
# `deno compile` needs the base binary denort and would fetch it from Deno's release host.
export DENORT_BIN="${DENORT_BIN:-$PROXY_CACHE/denort-$PROXY_DENO_VERSION}"
# Deno 2.6.10 overflows the default 2 MB stack when it embeds node_modules.
export RUST_MIN_STACK=67108864
