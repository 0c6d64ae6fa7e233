import assert from "node:assert/strict";
import { run } from "../../support/network_namespace.ts";

const script = new URL("./counting.sh", import.meta.url).pathname;

const COUNTER_BYTES = 8;

/** One outcome of a condition in the programs of packets. */
export interface Outcome {
  /** The function it is in. */
  readonly of: string;
  /** As it is written, on one line. */
  readonly condition: string;
  readonly is: boolean;
  /** FILE:LINE */
  readonly place: string;
  /** How often it came to that. */
  readonly times: number;
}

/** The programs of packets as counting.sh compiles them: they count which of their branches are taken. */
export class CountingPrograms implements Disposable {
  readonly #directory = Deno.makeTempDirSync({ prefix: "counting-" });

  static async make(): Promise<CountingPrograms> {
    const programs = new CountingPrograms();
    await run(script, programs.#directory);
    return programs;
  }

  /** What to load. */
  get object(): string {
    return `${this.#directory}/tc.bpf.o`;
  }

  /** @param counters the value of the map .data.covered, in decimal digits. */
  async outcomes(counters: readonly string[]): Promise<readonly Outcome[]> {
    await Deno.writeTextFile(`${this.#directory}/profile`, this.#profile(counters));
    await run("llvm-profdata", "merge", `${this.#directory}/profile`, "-o", `${this.#directory}/profdata`);
    const exported: Exported = JSON.parse(
      await run("llvm-cov", "export", `-instr-profile=${this.#directory}/profdata`, this.#mapping),
    );
    return exported.data.flatMap(({ functions }) => functions).flatMap(outcomesOf);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#directory, { recursive: true });
  }

  get #mapping(): string {
    return `${this.#directory}/mapping.o`;
  }

  /** As llvm-profdata reads it: for each function its name, its hash, how many counters it has, and they. */
  #profile(counters: readonly string[]): string {
    let next = 0;
    const functions = Deno.readTextFileSync(`${this.#directory}/functions`).trim().split("\n").map((line) => {
      const [name, hash = "", bytes = ""] = line.split(" ");
      const own = counters.slice(next, next += parseInt(bytes, 16) / COUNTER_BYTES);
      return [name, BigInt.asUintN(64, BigInt(hash)), own.length, ...own, ""].join("\n");
    });
    assert.equal(next, counters.length, "every counter is some function's");
    return functions.join("\n");
  }
}

/** What `llvm-cov export` says, as far as it is of use here. */
interface Exported {
  readonly data: readonly { readonly functions: readonly ExportedFunction[] }[];
}

interface ExportedFunction {
  /** Of static functions with their file: "tc.bpf.c:arrives". */
  readonly name: string;
  readonly filenames: readonly string[];
  readonly branches: readonly ExportedBranch[];
}

type ExportedBranch = readonly [
  line: number,
  column: number,
  lastLine: number,
  endColumn: number,
  timesTrue: number,
  timesFalse: number,
  file: number,
  expandedFile: number,
  kind: number,
];

function outcomesOf({ name, filenames, branches }: ExportedFunction): readonly Outcome[] {
  return branches.flatMap(([line, column, lastLine, endColumn, timesTrue, timesFalse, file]) => {
    const path = filenames[file] ?? "";
    const outcome = {
      of: name.replace(/^.*:/, ""),
      condition: textBetween(path, line, column, lastLine, endColumn),
      place: `${path.replace(/^.*\//, "")}:${line}`,
    };
    return [{ ...outcome, is: true, times: timesTrue }, { ...outcome, is: false, times: timesFalse }];
  });
}

const sources = new Map<string, readonly string[]>();

/** Lines and columns are counted from 1, and the end is not included. */
function textBetween(path: string, line: number, column: number, lastLine: number, endColumn: number) {
  const lines = sources.get(path) ?? Deno.readTextFileSync(path).split("\n");
  sources.set(path, lines);
  const text = lines.slice(line - 1, lastLine);
  text[text.length - 1] = text.at(-1)?.slice(0, endColumn - 1) ?? "";
  text[0] = text[0]?.slice(column - 1) ?? "";
  return text.join(" ").replace(/\s+/g, " ");
}
