import { run } from "../../integration/support/network_namespace.ts";

const NAMES = ["flood", "clients", "reset", "sockets", "echo"] as const;
export type ProgramName = typeof NAMES[number];

/** The programs of `programs/`, compiled into a directory of their own. */
export class Programs implements AsyncDisposable {
  private constructor(private readonly directory: string) {}

  static async compile(): Promise<Programs> {
    const programs = new Programs(await Deno.makeTempDir({ prefix: "adversarial-" }));
    const source = (name: ProgramName) => new URL(`../programs/${name}.c`, import.meta.url).pathname;
    await Promise.all(
      NAMES.map((name) =>
        run("clang", "-O2", "-Wall", "-Wno-unused-function", "-o", programs.path(name), source(name))
      ),
    );
    return programs;
  }

  path(name: ProgramName): string {
    return `${this.directory}/${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}
