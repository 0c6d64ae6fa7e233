import assert from "node:assert/strict";
import { dirname, join, relative } from "node:path/posix";
import { modes } from "../../backends/registry.ts";

/** Parts of core that contain only pure functions. */
const pure = ["core/net/", "core/objects/", "core/plan/"];

/** The files of a mode that describe it to core: they declare its flags and read its options. */
const descriptorFiles = /^backends\/[^/]+\/(mode|flags|options)\.ts$/;

/**
 * Imports point one way: main → core/commands → core → ffi, and backends → core (contract, plan, net) → ffi.
 * For each part of the tree, what it may import. A file belongs to the first part that fits.
 */
const parts: readonly {
  /** A file, or a folder with all that is below it. */
  readonly part: string | RegExp;
  readonly may: readonly string[];
  readonly why: string;
}[] = [
  {
    part: "main.ts",
    may: [
      "core/commands/",
      "core/node/host_settings.ts",
      "backends/registry.ts",
      "backends/conntrack/reconciler.ts",
    ],
    why: "main only puts the program together and starts a command",
  },
  { part: "core/net/", may: ["core/net/"], why: "addresses and protocols are values" },
  {
    part: "core/objects/",
    may: ["core/objects/", "core/net/"],
    why: "objects are parsed from values, without side effects",
  },
  { part: "core/plan/", may: pure, why: "planning is a function of objects and of facts of the node" },
  {
    part: "core/explain/",
    may: [
      ...pure,
      "core/async/",
      "core/explain/",
      "core/config/flags/suggest.ts",
      "core/node/kernel_facts.ts",
    ],
    why: "an explanation is a function of objects, plans and facts of the node",
  },
  { part: "core/async/", may: ["core/async/"], why: "timing knows nothing of services" },
  {
    part: "core/backend/",
    may: [
      ...pure,
      "core/backend/",
      "core/config/document/",
      "core/config/flags/flag.ts",
      "core/observe/log.ts",
    ],
    why: "the contract speaks of plans and of what a mode reads from the configuration",
  },
  {
    part: "core/commands/",
    may: ["core/", "ffi/system/process.ts"],
    why:
      "commands get the modes from main, and use of the system only the memory and the limits of this process",
  },
  {
    part: "core/node/",
    may: ["core/node/", ...pure, "core/async/", "core/observe/log.ts", "ffi/"],
    why: "facts of the node come from the kernel",
  },
  {
    part: "core/kube/",
    may: [
      ...pure,
      "core/async/",
      "core/kube/",
      "core/observe/log.ts",
      "core/*.ts",
      "ffi/tls.ts",
      "ffi/files/blocking_file.ts",
    ],
    why: "the API source knows objects and where they go; of the system it uses TLS and files",
  },
  {
    part: "core/observe/http/",
    may: [
      ...pure,
      "core/async/",
      "core/config/",
      "core/explain/explanation.ts",
      "core/observe/",
      "core/*.ts",
      "ffi/socket/shutdown.ts",
    ],
    why: "the HTTP server serves what the rest of core observes; of the system it ends connections",
  },
  {
    part: "core/observe/page/",
    may: ["core/observe/", "ffi/libraries/library.ts"],
    why: "the files of the page are embedded in the binary, beside the libraries",
  },
  {
    part: "core/observe/service_manager/",
    may: [
      "core/observe/",
      "core/sync/",
      "ffi/socket/unix/address.ts",
      "ffi/socket/unix/socket.ts",
      "ffi/system/process.ts",
    ],
    why: "the service manager is told over a Unix socket, with the time of the clock that it shares",
  },
  {
    part: "core/",
    may: [
      ...pure,
      "core/async/",
      "core/backend/",
      "core/config/",
      "core/explain/",
      "core/kube/",
      "core/manifests/",
      "core/sync/",
      "core/node/",
      "core/observe/",
      "core/*.ts",
      "ffi/files/blocking_file.ts",
      "deno.json",
    ],
    why: "core knows modes by the contract only, and commands not at all",
  },
  {
    part: descriptorFiles,
    may: ["backends/", ...pure, "core/backend/", "core/config/document/", "core/config/flags/flag.ts"],
    why: "a mode describes itself to core by its flags and its options",
  },
  {
    part: "backends/",
    may: ["backends/", ...pure, "core/async/", "core/backend/", "core/observe/log.ts", "ffi/"],
    why: "a backend never sees sources, configuration or the sync loop",
  },
  { part: "ffi/", may: ["ffi/"], why: "ffi knows nothing of services" },
];

/** Files that are allowed to be longer, each with the reason. */
const longFiles: Readonly<Record<string, string>> = {};
const MAX_LINES = 400;

const root = new URL("../../", import.meta.url).pathname;

function* sources(folder: string): Generator<{ readonly path: string; readonly text: string }> {
  for (const entry of Deno.readDirSync(join(root, folder))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* sources(path);
    else if (path.endsWith(".ts")) yield { path, text: Deno.readTextFileSync(join(root, path)) };
  }
}

const program = [
  { path: "main.ts", text: Deno.readTextFileSync(join(root, "main.ts")) },
  ...["core", "backends", "ffi"].flatMap((folder) => [...sources(folder)]),
];

/** Imports of a file: paths from the root for our own files, and names of packages. */
function importsOf({ path, text }: typeof program[number]): string[] {
  const specifiers = [
    ...text.matchAll(
      /^(?:import|export)\b[^"'();=]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/gm,
    ),
  ];
  return specifiers.map(([, from, effect, dynamic]) => from ?? effect ?? dynamic ?? "").map((specifier) =>
    specifier.startsWith(".") ? relative(root, join(root, dirname(path), specifier)) : specifier
  );
}

/** "core/" allows everything below it, "core/*.ts" only the files directly in it. */
function allows(pattern: string, path: string): boolean {
  if (pattern.endsWith("/")) return path.startsWith(pattern);
  return pattern.endsWith("/*.ts") ? dirname(path) === dirname(pattern) : path === pattern;
}

const isOurs = (specifier: string) =>
  /^(main\.ts|deno\.json|(core|backends|ffi|tests|scripts)\/)/.test(specifier);

Deno.test("imports point one way", () => {
  assert(program.some((file) => importsOf(file).some(isOurs)), "imports are found at all");
  for (const file of program) {
    const part = parts.find(({ part }) =>
      typeof part === "string" ? file.path.startsWith(part) : part.test(file.path)
    );
    assert(part !== undefined, `${file.path} belongs to no part`);
    for (const specifier of importsOf(file).filter(isOurs)) {
      const allowed = part.may.some((pattern) => allows(pattern, specifier));
      assert(allowed, `${file.path} imports ${specifier}: ${part.why}`);
    }
  }
});

Deno.test("a mode imports no other mode", () => {
  const modeOf = (path: string) => {
    const [root, folder] = path.split("/");
    return root === "backends" && modes.some(({ name }) => name === folder) ? folder : undefined;
  };
  for (const file of program) {
    const mode = modeOf(file.path);
    if (mode === undefined) continue;
    for (const specifier of importsOf(file)) {
      assert((modeOf(specifier) ?? mode) === mode, `${file.path} imports ${specifier}`);
    }
  }
});

/** Contents of the string literals of a source text, without comments. */
function* literals(text: string): Generator<string> {
  const tokens = /\/\*[\s\S]*?\*\/|\/\/.*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;
  for (const [token] of text.matchAll(tokens)) {
    if (!token.startsWith("/")) yield token.slice(1, -1);
  }
}

Deno.test("core names no mode, except the sections of the configuration document", () => {
  // Not as a part of a longer name: "iptables-sync-period", "iptables.masqueradeBit".
  const name = new RegExp(`(?<![\\w.-])(${modes.map(({ name }) => name).join("|")})(?![\\w.-])`);
  assert.match("mode ebpf", name);
  for (const { path, text } of program) {
    if (!path.startsWith("core/") || path.startsWith("core/config/document/")) continue;
    for (const literal of literals(text)) assert.doesNotMatch(literal, name, path);
  }
});

Deno.test("objects, plans and explanations use neither the system nor a package", () => {
  const parts = [...pure, "core/explain/"];
  for (const file of program.filter(({ path }) => parts.some((prefix) => path.startsWith(prefix)))) {
    const foreign = importsOf(file).filter((specifier) => !isOurs(specifier));
    assert.deepEqual(foreign, [], file.path);
    assert.doesNotMatch(file.text, /\bDeno\./, file.path);
  }
});

Deno.test("standard output and error are written to in one place, which waits for no reader", () => {
  for (const { path, text } of program) {
    if (path === "core/commands/process/terminal.ts") continue;
    assert.doesNotMatch(text, /\bconsole\.|\bDeno\.std(out|err)\b/, path);
  }
});

Deno.test("no file has a name without meaning, such as utils", () => {
  for (const { path } of [...program, ...sources("tests")]) {
    assert.doesNotMatch(path, /(^|\/)(utils?|helpers?|common|managers?|misc)[./]/, path);
  }
});

Deno.test("a file has one idea: at most 400 lines, or a reason", () => {
  for (const { path, text } of program) {
    const lines = text.split("\n").length - 1;
    if (longFiles[path] === undefined) assert(lines <= MAX_LINES, `${path} has ${lines} lines`);
    else assert(lines > MAX_LINES, `${path} is short now: take it off the list`);
  }
});
