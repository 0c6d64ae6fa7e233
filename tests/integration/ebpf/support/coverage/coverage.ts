import assert from "node:assert/strict";
import { run } from "../../../support/network_namespace.ts";

const SCRIPT = new URL("./counting.sh", import.meta.url).pathname;

const COUNTER_BYTES = 8;

/** One outcome of a condition in the tc programs. */
export interface Outcome {
  /** The C function that contains the condition. */
  readonly function: string;
  /** Source text, on one line. */
  readonly condition: string;
  readonly is: boolean;
  /** FILE:LINE */
  readonly place: string;
  /** Number of times that the condition had this outcome. */
  readonly times: number;
}

/** The tc programs as counting.sh compiles them: they count how often each branch is taken. */
export class CountingPrograms implements Disposable {
  readonly #directory = Deno.makeTempDirSync({ prefix: "counting-" });

  static async make(): Promise<CountingPrograms> {
    const programs = new CountingPrograms();
    await run(SCRIPT, programs.#directory);
    return programs;
  }

  /** Path of the object file to load. */
  get object(): string {
    return `${this.#directory}/tc_netfilter.bpf.o`;
  }

  /** @param counters the value of map .data.covered, as decimal numbers. */
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

  /**
   * Text format of llvm-profdata: for each function its name, its hash, the number of counters, and the
   * counters.
   */
  #profile(counters: readonly string[]): string {
    let next = 0;
    const functions = Deno.readTextFileSync(`${this.#directory}/functions`).trim().split("\n").map((line) => {
      const [name, hash = "", bytes = ""] = line.split(" ");
      const own = counters.slice(next, next += parseInt(bytes, 16) / COUNTER_BYTES);
      return [name, BigInt.asUintN(64, BigInt(hash)), own.length, ...own, ""].join("\n");
    });
    assert.equal(next, counters.length, "every counter belongs to a function");
    return functions.join("\n");
  }
}

/** The used part of the output of `llvm-cov export`. */
interface Exported {
  readonly data: readonly { readonly functions: readonly ExportedFunction[] }[];
}

interface ExportedFunction {
  /** Static functions have the prefix of their file, as in "tc_netfilter.bpf.c:read_packet". */
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
      function: name.replace(/^.*:/, ""),
      condition: textBetween(path, line, column, lastLine, endColumn),
      place: `${path.replace(/^.*\//, "")}:${line}`,
    };
    return [{ ...outcome, is: true, times: timesTrue }, { ...outcome, is: false, times: timesFalse }];
  });
}

const sourceLines = new Map<string, readonly string[]>();

/** Lines and columns count from 1; the end is exclusive. */
function textBetween(path: string, line: number, column: number, lastLine: number, endColumn: number) {
  const lines = sourceLines.get(path) ?? Deno.readTextFileSync(path).split("\n");
  sourceLines.set(path, lines);
  const text = lines.slice(line - 1, lastLine);
  text[text.length - 1] = text.at(-1)?.slice(0, endColumn - 1) ?? "";
  text[0] = text[0]?.slice(column - 1) ?? "";
  return text.join(" ").replace(/\s+/g, " ");
}
