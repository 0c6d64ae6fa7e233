import { slowness } from "../../lab/pace.ts";
import { run } from "../support/network_namespace.ts";

/** Generous, so that a busy machine does not fail a test. */
const PATIENCE_MS = 120_000 * slowness;

const program = new URL("machine.sh", import.meta.url).pathname;

/** systemd as process 1 of namespaces of its own, with the programs of this host and an overlay for what is written. */
export class SystemdMachine implements AsyncDisposable {
  readonly #cgroup: string;
  readonly #process: Deno.ChildProcess;
  #init = 0;

  private constructor(network: string) {
    this.#cgroup = `systemd-${network}`;
    const args = [network, this.#cgroup];
    this.#process = new Deno.Command(program, { args, stdin: "null" }).spawn();
  }

  /** @param network name of the network namespace that is the machine's. */
  static async boot(network: string): Promise<SystemdMachine> {
    const machine = new SystemdMachine(network);
    try {
      await machine.until(async () => {
        machine.#init = await machine.#findInit();
        return machine.#init > 0 &&
          /running|degraded/.test(await machine.ask("systemctl", "is-system-running"));
      }, "end of the boot");
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a command in it. Fails the test with the command's output when the exit code is not 0. */
  async run(...command: readonly string[]): Promise<string> {
    return await run("nsenter", ...this.#enter, ...command);
  }

  /** Returns what a command prints, whatever its exit code. */
  async ask(...command: readonly string[]): Promise<string> {
    const output = await new Deno.Command("nsenter", { args: [...this.#enter, ...command] }).output();
    return new TextDecoder().decode(output.stdout).trim();
  }

  /** The path on the host of a file in the machine. */
  path(inside: string): string {
    return `/proc/${this.#init}/root${inside}`;
  }

  async write(path: string, text: string): Promise<void> {
    const directory = this.path(path.slice(0, path.lastIndexOf("/")));
    await Deno.mkdir(directory, { recursive: true });
    await Deno.writeTextFile(`${directory}/.new`, text);
    await Deno.rename(`${directory}/.new`, this.path(path));
  }

  /** A property of a unit. */
  async property(unit: string, name: string): Promise<string> {
    return await this.ask("systemctl", "show", "--value", `--property=${name}`, unit);
  }

  async until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const began = performance.now();
    while (!await condition()) {
      if (performance.now() - began > PATIENCE_MS) throw new Error(`no ${what} in ${PATIENCE_MS / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  get #enter(): readonly string[] {
    return [
      "--target",
      `${this.#init}`,
      "--mount",
      "--net",
      "--pid",
      "--uts",
      "--ipc",
      "--cgroup",
      "--root",
      "--wd=/",
    ];
  }

  /** The process outside that is number 1 inside: the child of unshare, once it is systemd. */
  async #findInit(): Promise<number> {
    const { pid } = this.#process;
    try {
      const child = (await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`)).trim();
      return (await Deno.readTextFile(`/proc/${child}/comm`)) === "systemd\n" ? Number(child) : 0;
    } catch {
      return 0;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // With its process 1, the PID namespace ends, and unshare with it.
    this.#process.kill("SIGKILL");
    await this.#process.status;
    const mounts = await Deno.readTextFile("/proc/mounts");
    const hierarchy = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1] ?? "";
    const remove = `find ${hierarchy}/${this.#cgroup} -depth -type d -exec rmdir {} + 2>/dev/null`;
    await this.until(
      async () =>
        (await new Deno.Command("sh", { args: ["-c", `${remove}; test ! -e ${hierarchy}/${this.#cgroup}`] })
          .output()).success,
      `end of the cgroup ${this.#cgroup}`,
    );
  }
}
