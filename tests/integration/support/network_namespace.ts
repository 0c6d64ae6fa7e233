import assert from "node:assert/strict";
import { namespacedTest } from "../../namespaced/path.ts";
import { slowness } from "../../lab/pace.ts";

/** Generous, so that a busy machine does not fail a test. */
const commandTimeoutMs = 60_000 * slowness;

/** A network namespace for a test, so that no test touches the rules of the host. */
export class NetworkNamespace implements AsyncDisposable {
  readonly name = `test-${crypto.randomUUID().slice(0, 8)}`;

  static async make(): Promise<NetworkNamespace> {
    const namespace = new NetworkNamespace();
    await run("ip", "netns", "add", namespace.name);
    return namespace;
  }

  /** Runs a command in it. Fails the test with the command's output when the exit code is not 0. */
  async run(...command: readonly string[]): Promise<string> {
    return await run("ip", "netns", "exec", this.name, ...command);
  }

  /**
   * Runs a test file of tests/namespaced in it.
   * @param name as in `namespacedTest`
   * @param wrapper command that executes its arguments, for example with fewer privileges
   */
  async runTests(name: string, wrapper: readonly string[] = []): Promise<void> {
    await this.run(...wrapper, Deno.execPath(), "test", "--quiet", "--no-check", "-A", namespacedTest(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("ip", "netns", "del", this.name);
  }
}

/** Wrapper that drops CAP_NET_ADMIN. */
export const WITHOUT_NET_ADMIN = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];

/** Runs a command. @returns its standard output and standard error */
export async function run(command: string, ...args: readonly string[]): Promise<string> {
  const options = { args: [...args], signal: AbortSignal.timeout(commandTimeoutMs) };
  const { code, stdout, stderr } = await new Deno.Command(command, options).output();
  const decoder = new TextDecoder();
  const said = decoder.decode(stdout) + decoder.decode(stderr);
  // Indented, because scripts/test.sh must not count the summary of a test run that a test started.
  assert.equal(code, 0, `${command} ${args.join(" ")}:\n${said.replaceAll(/^(?=.)/gm, "  ")}`);
  return said;
}
