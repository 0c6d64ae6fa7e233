import { type Agent, isAnswered, type Outcome, type Target } from "../../tests/lab/agent.ts";
import { Lab } from "../../tests/lab/lab.ts";
import { proxyBinary, ProxyProcess } from "../../tests/lab/proxy.ts";
import { isNodeAddress, type MachineName, machines } from "../../tests/lab/topology.ts";
import { Narrator, type Source } from "./narrator.ts";

/**
 * Shows the proxy at work with real connections, in a sandbox of network namespaces. With --keep the sandbox stays
 * until this process ends. Exits with 1 when a check fails.
 */
async function main(): Promise<number> {
  const narrator = new Narrator();
  await using lab = await Lab.create();
  const manifests = await copyOfExamples(`${lab.directory}/manifests`);
  const proxy = new ProxyProcess(lab, manifests);
  try {
    await show(lab, proxy, manifests, narrator);
    if (Deno.args.includes("--keep")) await keep(lab, manifests);
    else await cleanUp(lab, proxy, narrator);
    return narrator.end();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\nLog of the proxy:\n${proxy.log}`);
    return 1;
  } finally {
    await proxy.stop();
  }
}

async function show(lab: Lab, proxy: ProxyProcess, manifests: string, narrator: Narrator): Promise<void> {
  narrator.heading(
    "A sandbox of network namespaces: a node with three pods, a second node, and a client outside the cluster",
  );
  narrator.say(map);
  narrator.heading("The proxy runs on the node");
  narrator.say(
    `${proxyBinary.replace(`${Deno.cwd()}/`, "")} --manifests=${manifests} --hostname-override=here …`,
  );
  await untilAnswered(lab, proxy);
  narrator.check(
    true,
    `services answer ${Math.round(performance.now() - proxy.startedAt)} ms after its start`,
  );

  narrator.heading("New connections, and the pods that answer them");
  await showFrontends(lab, narrator);
  await showAffinity(lab, narrator);

  narrator.heading("An endpoint is removed and added again while clients keep connecting");
  await showEndpointChange(lab, manifests, narrator);

  narrator.heading("The rules in the kernel, as the standard nft command lists them");
  await showKernel(lab, narrator);
}

const map = `
outside ─┬─ node "here"  192.168.8.1  fd00:8::1 ─┬─ pod-a  10.244.1.11
         │                                       ├─ pod-b  10.244.1.12
         │                                       └─ pod-c  10.244.1.13
         └─ node "elsewhere" ─── pod-d
"stranger" is a second address of the client outside`.trim();

/** Copies the example manifests to a new directory, because the demo changes them. */
async function copyOfExamples(directory: string): Promise<string> {
  const examples = new URL("../../examples/", import.meta.url);
  await Deno.mkdir(directory);
  for await (const { name } of Deno.readDir(examples)) {
    await Deno.copyFile(new URL(name, examples), `${directory}/${name}`);
  }
  return directory;
}

async function untilAnswered(lab: Lab, proxy: ProxyProcess): Promise<void> {
  for (const until = Date.now() + 10_000;;) {
    proxy.assertRunning();
    const [outcome] = await lab.agent("node").probe(tcp("10.96.0.20", 80), { timeoutMs: 50 });
    if (outcome && isAnswered(outcome)) return;
    if (Date.now() > until) throw new Error("no service answers 10 s after the start of the proxy");
  }
}

const pods = ["pod-a", "pod-b", "pod-c"];

async function showFrontends(lab: Lab, narrator: Narrator): Promise<void> {
  const to = async (
    from: MachineName,
    frontend: string,
    target: Target,
    expected: readonly string[],
    source?: Source,
  ) => narrator.checkSpread(`${from} → ${frontend}`, await connect(lab, from, target, 60), expected, source);
  await to("pod-c", "ClusterIP 10.96.0.20:80", tcp("10.96.0.20", 80), pods);
  await to("node", "ClusterIP 10.96.0.20:80", tcp("10.96.0.20", 80), pods, theNode);
  await to("outside", "NodePort 192.168.8.1:30080", tcp("192.168.8.1", 30080), pods, theClient);
  await to("outside", "load balancer 198.51.100.22:443", tcp("198.51.100.22", 443), pods, theNode);
  await to("pod-c", "UDP 10.96.0.10:53", udp("10.96.0.10", 53), ["pod-a", "pod-b"]);
  await to("outside", "IPv6 NodePort [fd00:8::1]:30024", tcp("fd00:8::1", 30024), pods, theNode);
  await to("pod-a", "IPv6 ClusterIP [fd00:10:96::24]:80", tcp("fd00:10:96::24", 80), pods);

  const none = async (from: MachineName, frontend: string, target: Target, outcome: "refused" | "timeout") =>
    narrator.checkNone(`${from} → ${frontend}`, await connect(lab, from, target, 3, 300), outcome);
  await none("stranger", "load balancer, outside its ranges", tcp("198.51.100.22", 443), "timeout");
  await none("pod-a", "service without endpoints", tcp("10.96.0.25", 80), "refused");
  await none("pod-a", "port that the service does not have", tcp("10.96.0.20", 81), "refused");
}

const theNode: Source = { name: "node", is: isNodeAddress };
const theClient: Source = {
  name: "client",
  is: (address) => address === machines.outside.addresses.IPv4,
};

async function showAffinity(lab: Lab, narrator: Narrator): Promise<void> {
  for (const from of ["outside", "stranger"] as const) {
    const [first, ...rest] = [
      ...await connect(lab, from, tcp("10.96.0.23", 80), 1),
      ...await connect(lab, from, tcp("10.96.0.23", 80), 30),
    ];
    const expected = first && isAnswered(first) ? [first.pod] : [];
    narrator.checkSpread(`${from} → session affinity 10.96.0.23:80`, rest, expected);
  }
}

async function showEndpointChange(lab: Lab, manifests: string, narrator: Narrator): Promise<void> {
  const file = `${manifests}/cluster-ip.yaml`;
  const before = await Deno.readTextFile(file);
  const without = before.split("\n").filter((line) => !line.includes("# pod-b")).join("\n");
  const client = lab.agent("outside");
  const target = tcp("10.96.0.20", 80);

  const away = await probeAround(client, target, () => Deno.writeTextFile(file, without));
  const last = away.after.findLast(({ outcome }) => isAnswered(outcome) && outcome.pod === "pod-b");
  narrator.check(
    away.before.some(({ outcome }) => isAnswered(outcome) && outcome.pod === "pod-b") &&
      !away.after.slice(-50).some(({ outcome }) => isAnswered(outcome) && outcome.pod === "pod-b"),
    `pod-b is removed from the EndpointSlice: its last connection began ${
      Math.round(last?.at ?? 0)
    } ms after the file was written`,
  );
  const back = await probeAround(client, target, () => Deno.writeTextFile(file, before));
  const first = back.after.find(({ outcome }) => isAnswered(outcome) && outcome.pod === "pod-b");
  narrator.check(
    first !== undefined,
    `pod-b is added again: its first connection began ${
      Math.round(first?.at ?? 0)
    } ms after the file was written`,
  );

  const all = [...away.before, ...away.after, ...back.before, ...back.after];
  const failed = all.filter(({ outcome }) => !isAnswered(outcome)).length;
  narrator.check(
    failed === 0,
    `${all.length} connections were made during both changes, and ${failed} failed`,
  );
}

interface Moment {
  readonly outcome: Outcome;
  /** Start of the connection, in milliseconds since the change. */
  readonly at: number;
}

/** Connects without a pause from 50 ms before the change until 400 ms after it. */
async function probeAround(client: Agent, target: Target, change: () => Promise<void>) {
  const moments: Moment[] = [];
  let end = performance.now() + 100;
  let changed = Infinity;
  while (performance.now() < end) {
    const at = performance.now();
    if (changed === Infinity && at > end - 50) {
      await change();
      changed = performance.now();
      end = changed + 400;
    }
    for (const outcome of await client.probe(target, { times: 4, parallel: 2 })) {
      moments.push({ outcome, at });
    }
  }
  const relative = moments.map(({ outcome, at }) => ({ outcome, at: at - changed }));
  return { before: relative.filter(({ at }) => at < 0), after: relative.filter(({ at }) => at >= 0) };
}

async function showKernel(lab: Lab, narrator: Narrator): Promise<void> {
  for (
    const command of ["nft list map ip kube-proxy service-ips", "nft list chain ip kube-proxy cluster-3"]
  ) {
    const { code, stdout, stderr } = await lab.run("node", command.split(" "));
    narrator.check(code === 0, command);
    narrator.say((stdout + stderr).trimEnd().replaceAll("\t", "  "));
  }
  const { stdout } = await lab.run("node", ["nft", "list", "ruleset"]);
  narrator.check(
    !stdout.includes("default/database"),
    "there is no rule for default/database, because it is headless",
  );
}

async function cleanUp(lab: Lab, proxy: ProxyProcess, narrator: Narrator): Promise<void> {
  narrator.heading("The proxy ends and its rules stay; --cleanup removes them");
  const began = performance.now();
  await proxy.stop();
  narrator.check(true, `SIGTERM ended the process in ${Math.round(performance.now() - began)} ms`);
  narrator.checkSpread(
    "outside → NodePort 192.168.8.1:30080",
    await connect(lab, "outside", tcp("192.168.8.1", 30080), 60),
    pods,
  );

  const cleanup = await lab.run("node", [proxyBinary, "--cleanup"]);
  narrator.check(cleanup.code === 0, `proxy --cleanup${cleanup.code === 0 ? "" : `: ${cleanup.stderr}`}`);
  const left = await lab.run("node", ["nft", "list", "ruleset"]);
  narrator.check(
    left.code === 0 && left.stdout.trim() === "",
    "nft list ruleset shows no rules" + left.stdout.trim(),
  );
  narrator.checkNone(
    "outside → NodePort 192.168.8.1:30080",
    await connect(lab, "outside", tcp("192.168.8.1", 30080), 3),
    "refused",
  );
}

async function keep(lab: Lab, manifests: string): Promise<void> {
  console.log(`
The sandbox keeps running. To run commands in it:
  ip netns exec ${lab.namespace("outside")} curl -s http://192.168.8.1:30080      a client outside
  ip netns exec ${lab.namespace("pod-a")} curl -s http://10.96.0.20             a pod
  ip netns exec ${lab.namespace("node")} nft list table ip kube-proxy      the node
The proxy follows the manifests in this directory, so edit them to see changes: ${manifests}
Remove the sandbox: kill ${Deno.pid}`);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => resolve());
  });
}

function connect(lab: Lab, from: MachineName, target: Target, times: number, timeoutMs = 3000) {
  const family = target.to.includes(":") ? "IPv6" : "IPv4";
  const source = machines[from].namespace === "outside" ? { from: machines[from].addresses[family] } : {};
  return lab.agent(from).probe(target, { times, timeoutMs, ...source });
}

function tcp(to: string, port: number): Target {
  return { protocol: "TCP", to, port };
}

function udp(to: string, port: number): Target {
  return { protocol: "UDP", to, port };
}

// If the sandbox cannot be created, the machine is the cause: print the message without a stack.
const exitCode = await main().catch((error) => {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  return 1;
});
Deno.exit(exitCode);
