import { join } from "node:path/posix";

const project = new URL("../../../", import.meta.url).pathname;

/** A processor whose headers are on this machine. */
export interface Headers {
  /** Name in Deno. */
  readonly processor: typeof Deno.build.arch;
  /** Directories of headers: the system's, and the processor's own. */
  readonly folders: readonly string[];
}

/** The headers of a processor. @param root where its packages libc6-dev and linux-libc-dev are unpacked. */
export function headersOf(processor: typeof Deno.build.arch, root = "/"): Headers {
  const folders = [join(root, "usr/include"), join(root, `usr/include/${processor}-linux-gnu`)];
  return { processor, folders };
}

/** Says that a C expression has a value. Both are constant expressions of C. */
export interface Assertion {
  /** The header that defines the names: "linux/netlink.h". */
  readonly header: string;
  readonly expression: string;
  readonly value: string;
  /** The first version of Linux whose headers have it: "6.3". */
  readonly since?: string | undefined;
}

/** Reads the constants of the kernel in the sources of some folders. Each names its header, or its file does for all. */
export function* constantsIn(...folders: readonly string[]): Generator<Assertion> {
  for (const path of folders.flatMap((folder) => [...sourcesIn(join(project, folder))])) {
    const text = Deno.readTextFileSync(path);
    const ofFile = /\bUnless noted: ([a-z_0-9/.-]+\.h)\b/.exec(text)?.[1];
    for (const line of text.split("\n")) {
      const [, name = "", value = "", comment = ""] = CONSTANT.exec(line) ?? [];
      const header = comment === "" ? ofFile : /^(?:enum \w+, )?([a-z_0-9/.-]+\.h)\b/.exec(comment)?.[1];
      if (name === "" || header === undefined || HAS_ITS_OWN_NAME.has(name)) continue;
      const since = /since Linux (\d+\.\d+)/.exec(comment)?.[1];
      yield { header, expression: name, value: asC(value), since };
    }
  }
}

/** `const NAME = NUMBER; // comment`, where a number may be an expression of numbers and of other constants. */
const CONSTANT = /^(?:export )?const ([A-Za-z]\w*_\w+|[A-Z]{6,}) = ([-\w |<]+);(?: \/\/ (.*))?$/;

/** Constants in files with a common header that are not part of it. */
const HAS_ITS_OWN_NAME: ReadonlySet<string> = new Set(["NFGENMSG_BYTES"]);

/** Octal numbers and bigints in the notation of C. */
function asC(value: string): string {
  return value.replace(/\b0o([0-7]+)/g, "0$1").replace(/\b(\d+)n\b/g, "$1");
}

function* sourcesIn(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* sourcesIn(path);
    else if (name.endsWith(".ts")) yield path;
  }
}

/**
 * Compiles the assertions about one header.
 * @returns the messages of the compiler about those that do not hold; "" if all do.
 */
export async function contradictions(
  { processor, folders }: Headers,
  header: string,
  assertions: readonly Assertion[],
): Promise<string> {
  const source = [
    ...PRELUDE,
    `#include <${PUBLIC.get(header) ?? header}>`,
    ...assertions.flatMap(({ expression, value, since = "0.0" }) => [
      `#if LINUX_VERSION_CODE >= KERNEL_VERSION(${since.replace(".", ", ")}, 0)`,
      `_Static_assert((${expression}) == (${value}), "${expression} is not ${value}");`,
      "#endif",
    ]),
  ].join("\n");
  const clang = new Deno.Command("clang", {
    args: [
      `--target=${processor}-linux-gnu`,
      ...["-fsyntax-only", "-std=gnu11", "-nostdlibinc", "-w", "-x", "c", "-"],
      ...folders.flatMap((folder) => ["-isystem", folder]),
    ],
    stdin: "piped",
    stderr: "piped",
  }).spawn();
  const input = clang.stdin.getWriter();
  await input.write(new TextEncoder().encode(source + "\n"));
  await input.close();
  const { success, stderr } = await clang.output();
  const messages = new TextDecoder().decode(stderr);
  return success ? "" : messages.split("\n").filter((line) => /error:/.test(line)).join("\n") || messages;
}

/** Headers that others need and do not include. */
const PRELUDE = [
  "#define _GNU_SOURCE",
  "#include <stddef.h>",
  "#include <stdint.h>",
  "#include <limits.h>",
  "#include <linux/version.h>",
  "#include <linux/netlink.h>",
];

/** Headers that a program includes instead of others, which define a name inside the kernel or for most processors. */
const PUBLIC = new Map([
  ["linux/socket.h", "sys/socket.h"],
  ["asm-generic/socket.h", "asm/socket.h"],
  ["asm-generic/mman-common.h", "sys/mman.h"],
  ["asm-generic/resource.h", "asm/resource.h"],
]);
