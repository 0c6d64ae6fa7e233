# Environment of the pinned toolchain, for scripts and interactive shells. scripts/setup.sh installs the
# toolchain.
#   . scripts/env.sh
PROXY_CACHE=$(realpath -m "${PROXY_CACHE:-$HOME/.cache/proxy}")
PROXY_DENO_VERSION=2.6.10
export PROXY_CACHE PROXY_DENO_VERSION

case :$PATH: in
  *:"$PROXY_CACHE/deno/bin":*) ;;
  *) export PATH="$PROXY_CACHE/deno/bin:$PATH" ;;
esac
export DENO_NO_UPDATE_CHECK=1
# Behind an HTTP proxy that re-signs TLS, only the system's store has the issuer's certificate.
export DENO_TLS_CA_STORE=system,mozilla
# `deno compile` needs the base binary denort. Without this variable it fetches it from Deno's release host.
export DENORT_BIN="${DENORT_BIN:-$PROXY_CACHE/denort-$PROXY_DENO_VERSION}"
# Deno 2.6.10 overflows the default stack of 2 MB when it embeds node_modules.
export RUST_MIN_STACK=67108864
# V8 flags of dist/proxy. They save memory; measured with 10,000 services of 10 endpoints, fed by an API
# server:
#   --max-semi-space-size=1  young objects in halves of 1 MiB instead of up to 16 MiB: 12-15 MB less
#   --no-maglev              without one of V8's compilers: 4 MB less, from the start
#   --optimize-for-size      the heap grows in small steps: 107-113 MB resident instead of 112-135 MB; the first
#                            programming takes a tenth longer
#   --expose-gc              required by collectGarbage() in ffi/system/process.ts
export PROXY_V8_FLAGS=--max-semi-space-size=1,--no-maglev,--optimize-for-size,--expose-gc
