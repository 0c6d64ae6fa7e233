import assert from "node:assert/strict";
import { ARCHITECTURES } from "../../ffi/architecture.ts";
import { ARM64_ROOT, emulated, NO_ARM64, prepare } from "./support/arm64.ts";
import { run } from "./support/network_namespace.ts";
import {
  type Assertion,
  constantsIn,
  contradictions,
  type Headers,
  headersOf,
} from "./support/kernel_headers.ts";
import { layouts } from "./support/layouts.ts";

const project = new URL("../../", import.meta.url).pathname;
const ignore = NO_ARM64;

async function bothHeaders(): Promise<readonly Headers[]> {
  await prepare("setup.sh", "arm64");
  return [headersOf("x86_64"), headersOf("aarch64", ARM64_ROOT)];
}

/** Headers that neither the kernel nor the C library installs. Their numbers are those of formats. */
const OF_OTHERS = /^(openssl|netlink|libnftnl|nftables|bpf|net\/netfilter)\//;

async function assertAll(headers: Headers, all: Iterable<Assertion>): Promise<number> {
  let count = 0;
  for (const [header, assertions] of Map.groupBy(all, ({ header }) => header)) {
    if (OF_OTHERS.test(header)) continue;
    assert.equal(await contradictions(headers, header, assertions), "", `${headers.processor}: ${header}`);
    count += assertions.length;
  }
  return count;
}

Deno.test({
  name: "every constant of the kernel has its value from the headers of both processors",
  ignore,
  async fn() {
    for (const headers of await bothHeaders()) {
      assert(await assertAll(headers, constantsIn("ffi", "backends")) > 300);
    }
  },
});

Deno.test({
  name: "what differs between processors has its value from the headers of each",
  ignore,
  async fn() {
    for (const headers of await bothHeaders()) {
      const { SYS_finit_module, SYS_bpf, O_DIRECTORY, EPOLL_EVENT_BYTES } = ARCHITECTURES[headers.processor];
      await assertAll(headers, [
        { header: "asm/unistd.h", expression: "__NR_finit_module", value: `${SYS_finit_module}` },
        { header: "asm/unistd.h", expression: "__NR_bpf", value: `${SYS_bpf}` },
        { header: "fcntl.h", expression: "O_DIRECTORY", value: `${O_DIRECTORY}` },
        { header: "sys/epoll.h", expression: "sizeof(struct epoll_event)", value: `${EPOLL_EVENT_BYTES}` },
        {
          header: "sys/epoll.h",
          expression: "__builtin_offsetof(struct epoll_event, data)",
          value: `${EPOLL_EVENT_BYTES - 8}`,
        },
        { header: "endian.h", expression: "__BYTE_ORDER", value: "__LITTLE_ENDIAN" },
        { header: "stddef.h", expression: "sizeof(void *)", value: "8" },
        { header: "stddef.h", expression: "sizeof(size_t)", value: "8" },
        { header: "sys/types.h", expression: "sizeof(off_t)", value: "8" },
      ]);
    }
  },
});

Deno.test({
  name: "every structure that is read or written has the same layout on both processors",
  ignore,
  async fn() {
    for (const headers of await bothHeaders()) assert(await assertAll(headers, layouts()) > 60);
  },
});

Deno.test({
  name: "the compiler objects to a wrong value, on both processors",
  ignore,
  async fn() {
    for (const headers of await bothHeaders()) {
      const wrong = { header: "fcntl.h", expression: "O_CLOEXEC", value: "0" };
      assert.match(await contradictions(headers, wrong.header, [wrong]), /O_CLOEXEC is not 0/);
      const missing = { header: "fcntl.h", expression: "O_NO_SUCH_FLAG", value: "0" };
      assert.match(await contradictions(headers, missing.header, [missing]), /undeclared identifier/);
      assert.equal(await contradictions(headers, wrong.header, [{ ...wrong, since: "99.0" }]), "");
    }
  },
});

Deno.test({
  name: "BPF programs are the same, whichever processor's headers they are compiled with",
  ignore,
  async fn() {
    const [native, foreign] = await Promise.all((await bothHeaders()).map(compiledPrograms));
    assert(native !== undefined && native.size >= 4);
    assert.deepEqual(foreign, native);
  },
});

/** The SHA-256 of each object, by its name. */
async function compiledPrograms({ folders }: Headers): Promise<ReadonlyMap<string, string>> {
  const [, own = ""] = folders;
  const output = await Deno.makeTempDir();
  try {
    await run("env", `BPF_HEADERS=${own}`, `BPF_OUTPUT=${output}`, `${project}scripts/bpf.sh`);
    const sums = await run("sh", "-c", `cd ${output} && sha256sum *.o`);
    return new Map(
      sums.trim().split("\n").map((line) => line.split("  ")).map(([sum = "", name = ""]) => [name, sum]),
    );
  } finally {
    await Deno.remove(output, { recursive: true });
  }
}

Deno.test({
  name: "the program for arm64 runs, and opens the libraries that are embedded in it",
  ignore,
  async fn() {
    await prepare("build.sh", "--arch", "arm64");
    const program = `${project}dist/proxy-arm64`;
    assert.match(await emulated(ARM64_ROOT, program, "version"), /^proxy \d+\.\d+\.\d+\n$/);
    // The emulator knows neither sockets of netfilter nor BPF. libnl and libbpf say so, with their own texts.
    assert.match(
      await emulated(ARM64_ROOT, program, "check", "--proxy-mode", "nftables"),
      /EPROTONOSUPPORT \(.* libnl: /,
    );
    assert.match(
      await emulated(ARM64_ROOT, program, "check", "--proxy-mode", "ebpf"),
      /load BPF object sock\.bpf\.o: ENOSYS/,
    );
  },
});
