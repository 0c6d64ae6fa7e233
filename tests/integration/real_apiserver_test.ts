import { ok } from "node:assert/strict";

const peers = `${Deno.env.get("PROXY_CACHE") ?? `${Deno.env.get("HOME")}/.cache/proxy`}/peers`;
const missing = ["etcd", "kube-apiserver"].filter((name) => !exists(`${peers}/${name}`));
const skipped = missing.length > 0
  ? ` (skipped: no ${missing.join(", ")} in ${peers}; scripts/peers.sh builds them)`
  : "";

Deno.test({
  name: `the source keeps up with a real kube-apiserver and etcd${skipped}`,
  ignore: missing.length > 0,
  async fn() {
    const namespace = `apiserver-${crypto.randomUUID().slice(0, 8)}`;
    await run("ip", "netns", "add", namespace);
    try {
      await run("ip", "-n", namespace, "link", "set", "lo", "up");
      const cases = new URL("./kube/real_apiserver.ts", import.meta.url).pathname;
      await run("ip", "netns", "exec", namespace, Deno.execPath(), "test", "--quiet", "-A", cases);
    } finally {
      await run("ip", "netns", "del", namespace);
    }
  },
});

async function run(command: string, ...args: readonly string[]): Promise<void> {
  const options = { args: [...args], signal: AbortSignal.timeout(300_000) };
  const { success, stdout, stderr } = await new Deno.Command(command, options).output();
  const decoder = new TextDecoder();
  ok(success, `${command} ${args.join(" ")}:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`);
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
