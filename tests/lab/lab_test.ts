import assert from "node:assert/strict";
import { FAMILIES } from "../../core/net/protocol.ts";
import { isAnswered } from "./agent.ts";
import { Lab } from "./lab.ts";
import { slowness } from "./pace.ts";
import { machines } from "./topology.ts";

Deno.test("the lab's machines talk to each other and report their name and the client's address", async (t) => {
  await using lab = await Lab.create();

  for (const family of FAMILIES) {
    await t.step(`pods of two nodes see each other's address (${family})`, async () => {
      const to = machines["pod-d"].addresses[family];
      for (const protocol of ["TCP", "UDP"] as const) {
        const [outcome] = await lab.agent("pod-a").probe({ protocol, to, port: 8081 }, { fromPort: 4000 });
        assert(outcome && isAnswered(outcome));
        const { pod, port, source, sourcePort } = outcome;
        const client = machines["pod-a"].addresses[family];
        assert.deepEqual([pod, port, source, sourcePort], ["pod-d", 8081, client, 4000]);
      }
    });

    await t.step(
      `a closed port is refused at once, and a dropped packet is a timeout (${family})`,
      async () => {
        const to = machines["pod-b"].addresses[family];
        const startedAt = performance.now();
        for (const protocol of ["TCP", "UDP"] as const) {
          const outcomes = await lab.agent("pod-a").probe({ protocol, to, port: 9 }, { times: 200 });
          assert.deepEqual(
            new Set(outcomes.map((outcome) => JSON.stringify(outcome))),
            new Set(['{"outcome":"refused"}']),
          );
        }
        assert(performance.now() - startedAt < 1000 * slowness, "a rejection was noticed late");

        await lab.run("pod-b", [
          "nft",
          "add table inet t; add chain inet t c { type filter hook input priority 0; }",
        ]);
        await lab.run("pod-b", ["nft", "add rule inet t c th dport 9 drop"]);
        const [dropped] = await lab.agent("pod-a").probe({ protocol: "TCP", to, port: 9 }, {
          timeoutMs: 100,
        });
        assert.deepEqual(dropped, { outcome: "timeout" });
        await lab.run("pod-b", ["nft", "delete table inet t"]);
      },
    );
  }

  await t.step("a kept connection answers until it is closed", async () => {
    const target = { protocol: "TCP", to: machines["pod-c"].addresses.IPv4, port: 8080 } as const;
    const outcomes = await lab.agent("pod-b").probe(target, { times: 100, keep: true });
    const connections = outcomes.filter(isAnswered).map(({ connection }) => connection!);
    assert.equal(connections.length, 100);
    const again = await lab.agent("pod-b").send(connections);
    assert(again.every((outcome) => isAnswered(outcome) && outcome.pod === "pod-c"));
    await lab.agent("pod-b").close(connections);
    await assert.rejects(() => lab.agent("pod-b").send(connections), /pod-b: KeyError/);
  });
});

Deno.test("a lab whose process is killed leaves no namespace, no process and no file behind", async () => {
  const script = `
    import { Lab } from ${JSON.stringify(new URL("lab.ts", import.meta.url).href)};
    const lab = await Lab.create(true);
    lab.spawn("node", ["sleep", "1000"]);
    console.log(lab.directory);
    await new Promise((resolve) => setTimeout(resolve, 60_000));`;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", script], stdout: "piped" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const directory = (await reader.read()).value?.trim() ?? "";
  assert.match(directory, new RegExp(`px${child.pid}-`));
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();

  for (const deadline = Date.now() + 10_000; await labExists(child.pid, directory);) {
    assert(Date.now() < deadline, "the lab still exists");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

async function labExists(pid: number, directory: string): Promise<boolean> {
  const list = await new Deno.Command("ip", { args: ["netns", "list"] }).output();
  const processes = await new Deno.Command("pgrep", { args: ["-f", `px${pid}-`] }).output();
  return new TextDecoder().decode(list.stdout).includes(`px${pid}-`) ||
    processes.code === 0 ||
    await Deno.stat(directory).then(() => true, () => false);
}
