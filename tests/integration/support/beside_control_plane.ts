import { namespacedTest } from "../../namespaced/path.ts";
import { ok } from "node:assert/strict";
import { peers } from "../../lab/cache.ts";

/**
 * Definition of a test that runs the tests of a file in tests/namespaced/kube in a network namespace of their own,
 * beside a real control plane. Ignored where `scripts/peers.sh` has not built one.
 */
export function besideControlPlane(name: string, file: string): Deno.TestDefinition {
  const missing = ["etcd", "kube-apiserver"].filter((peer) => !exists(`${peers}/${peer}`));
  const skipped = missing.length > 0
    ? ` (skipped: no ${missing.join(", ")} in ${peers}; scripts/peers.sh builds them)`
    : "";
  return {
    name: `${name}${skipped}`,
    ignore: missing.length > 0,
    async fn() {
      const namespace = `apiserver-${crypto.randomUUID().slice(0, 8)}`;
      await run("ip", "netns", "add", namespace);
      try {
        await run("ip", "-n", namespace, "link", "set", "lo", "up");
        const output = await run(
          "ip",
          ...["netns", "exec", namespace],
          ...[Deno.execPath(), "test", "--quiet", "--no-check", "-A", namespacedTest(`kube/${file}`)],
        );
        for (const line of output.split("\n").filter((line) => line.startsWith("    "))) console.log(line);
      } finally {
        await endProcessesIn(namespace);
        await run("ip", "netns", "del", namespace);
      }
    },
  };
}

/** Ends processes that an interrupted test left running. */
async function endProcessesIn(namespace: string): Promise<void> {
  for (const pid of (await run("ip", "netns", "pids", namespace)).split("\n")) {
    if (pid !== "") Deno.kill(Number(pid), "SIGKILL");
  }
}

async function run(command: string, ...args: readonly string[]): Promise<string> {
  const options = { args: [...args], signal: AbortSignal.timeout(300_000) };
  const { success, stdout, stderr } = await new Deno.Command(command, options).output();
  const decoder = new TextDecoder();
  const said = decoder.decode(stdout) + decoder.decode(stderr);
  ok(success, `${command} ${args.join(" ")}:\n${said}`);
  return said;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
