import assert from "node:assert/strict";
import type { ProxyMode } from "../../../backends/registry.ts";
import { type Agent, isAnswered, type Target } from "../../lab/agent.ts";
import { ebpfFlags } from "../../lab/ebpf_mounts.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { cleanedUp, ProxyProcess } from "../../lab/proxy.ts";
import { machines, serviceAddress } from "../../lab/topology.ts";
import { answered, podOf } from "../../lab/traffic.ts";
import { webObjects } from "../support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;
const masqueraded: Target = { ...web, to: machines.node.addresses.IPv4, port: 30080 };
const keepingTheClient: Target = { ...masqueraded, port: 30081 };
const PORTS = 30;
const CLEANED_UP_WITHIN_MS = 120_000 * slowness;

/**
 * With br_netfilter, the packets of a bridge are translated before the programs see them, all but their source. Those of
 * an older connection, which netfilter masquerades, then have the tuple of a new one that begins at the same port of the
 * client and has the same endpoint.
 */
Deno.test("an older connection and a new one from the same port to the same endpoint get their own answers", async () => {
  await using lab = await Lab.create(true);
  await using stack = new AsyncDisposableStack();
  const manifests = await publish(lab);
  const start = (mode: ProxyMode) =>
    stack.use(new ProxyProcess(lab, manifests, mode, ebpfFlags(lab.ebpfMounts)));
  const client = lab.agent("outside");
  const former = start("nftables");
  await answered(client, web);
  await lab.output("node", "sysctl", "-qew", "net.bridge.bridge-nf-call-iptables=1");
  const older = await open(client, masqueraded, 42_000);
  await former.stop();
  const proxy = start("ebpf");
  await cleanedUp(proxy, "nftables", CLEANED_UP_WITHIN_MS);

  const newer = await open(client, keepingTheClient, 42_000);
  const ofPrograms = await open(client, masqueraded, 43_000);
  const others = await open(client, keepingTheClient, 43_000);
  for (const pair of [[older, newer], [ofPrograms, others]] as const) {
    assert(pair[0].some(({ pod }, index) => pair[1][index]?.pod === pod), "some have the same endpoint");
  }
  const all = [...older, ...newer, ...ofPrograms, ...others];
  await allAnswered(client, all, "in mode ebpf");
  await proxy.stop();
  await cleanedUp(start("nftables"), "ebpf", CLEANED_UP_WITHIN_MS);
  await allAnswered(client, all, "after mode ebpf");
});

interface Connection {
  readonly fromPort: number;
  readonly pod: string;
  readonly connection: number;
}

/** Opens connections from consecutive ports. */
function open(client: Agent, target: Target, firstPort: number): Promise<readonly Connection[]> {
  return Promise.all(Array.from({ length: PORTS }, async (_, index) => {
    const fromPort = firstPort + index;
    const [outcome] = await client.probe(target, { fromPort, keep: true });
    assert(
      outcome !== undefined && isAnswered(outcome) && outcome.connection !== undefined,
      `to ${target.port} from ${fromPort}: ${JSON.stringify(outcome)}`,
    );
    return { fromPort, pod: outcome.pod, connection: outcome.connection };
  }));
}

async function allAnswered(client: Agent, connections: readonly Connection[], when: string): Promise<void> {
  const answers = await client.send(connections.map(({ connection }) => connection));
  const lost = connections.filter(({ pod }, index) => {
    const answer = answers[index];
    return answer === undefined || podOf(answer) !== pod;
  });
  assert.deepEqual(lost, [], when);
}

async function publish(lab: Lab): Promise<string> {
  const directory = `${lab.directory}/manifests`;
  await Deno.mkdir(directory);
  const nodePort = (number: number) => [{ port: 80, nodePort: number }];
  const items = [
    ...webObjects("web", web.to, { type: "NodePort", ports: nodePort(masqueraded.port) }),
    ...webObjects("local", serviceAddress("clusterIP", "IPv4", 12), {
      type: "NodePort",
      externalTrafficPolicy: "Local",
      ports: nodePort(keepingTheClient.port),
    }),
  ];
  await Deno.writeTextFile(
    `${directory}/web.json`,
    JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  );
  return directory;
}
