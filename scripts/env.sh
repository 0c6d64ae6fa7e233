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
# What dist/proxy runs with. For little memory, measured with 10,000 services of 10 endpoints fed by an API server:
#   --max-semi-space-size=1  young objects in halves of 1 MiB, not up to 16: 12-15 MB less
#   --no-maglev              one compiler less: 4 MB less, from the start
#   --optimize-for-size      a heap that grows in small steps: 107-113 MB resident instead of 112-135, and the first
#                            programming takes a tenth longer
#   --expose-gc              for core/node/memory.ts
export PROXY_V8_FLAGS=--max-semi-space-size=1,--no-maglev,--optimize-for-size,--expose-gc
