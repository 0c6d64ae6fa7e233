import assert from "node:assert/strict";
import { LAYOUT_VERSION, OFFSET, SIZE } from "../../../../backends/ebpf/maps/layout.ts";
import { run } from "../../support/network_namespace.ts";

const ROOT = new URL("../../../../", import.meta.url).pathname;
/** Directories that the driver of backends needs. */
const PARTS = ["backends", "core", "ffi", "tests", "scripts"];

/**
 * The program as a later version might be: with another layout number, and with more members in the structs of flows and
 * clients, before others.
 */
export class OtherVersion implements AsyncDisposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async make(): Promise<OtherVersion> {
    const version = new OtherVersion(await Deno.makeTempDir({ prefix: "other-version-" }));
    await version.#make();
    return version;
  }

  /** A wrapper for `TestNode.startBackend`: runs the backend of this version instead. */
  get wrapper(): readonly string[] {
    const driver = `${this.#directory}/tests/integration/support/backend_driver.ts`;
    return ["sh", "-c", `exec "$0" run --quiet --no-check --allow-all ${driver} ebpf`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#directory, { recursive: true });
  }

  async #make(): Promise<void> {
    await run("cp", "-r", ...PARTS.map((part) => `${ROOT}${part}`), this.#directory);
    const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
    await Deno.writeTextFile(`${this.#directory}/deno.json`, JSON.stringify({ imports }));
    await this.#edit(
      "backends/ebpf/maps/layout.ts",
      [`LAYOUT_VERSION = ${LAYOUT_VERSION};`, `LAYOUT_VERSION = ${LAYOUT_VERSION + 1000};`],
      [`traffic: ${SIZE.traffic},`, `traffic: ${SIZE.traffic + 8},`],
      [`flow: ${SIZE.flow},`, `flow: ${SIZE.flow + 8},`],
      ...Object.entries(OFFSET.flow).filter(([, offset]) => offset >= OFFSET.flow.born)
        .map(([name, offset]) => [`    ${name}: ${offset},`, `    ${name}: ${offset + 8},`] as const),
    );
    const maps = "backends/ebpf/bpf/maps";
    const born = "__u64 born; /* the same";
    await this.#edit(`${maps}/flows.h`, [born, `__u64 extra;\n\t${born}`]);
    await this.#edit(`${maps}/services.h`, ["struct choice {", "struct choice {\n\t__u64 extra;"]);
    // At the end, because the proxy reads this struct.
    const refused = "__u64 refused[REFUSAL_REASONS];";
    await this.#edit(`${maps}/counters.h`, [refused, `${refused}\n\t__u64 extra;`]);
    await run(`${this.#directory}/scripts/bpf.sh`);
  }

  async #edit(file: string, ...edits: readonly (readonly [string, string])[]): Promise<void> {
    const path = `${this.#directory}/${file}`;
    let text = await Deno.readTextFile(path);
    for (const [old, next] of edits) {
      assert(text.includes(old), `${file} contains ${old}`);
      text = text.replace(old, next);
    }
    await Deno.writeTextFile(path, text);
  }
}
