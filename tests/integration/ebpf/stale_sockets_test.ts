import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import {
  readService,
  SIZE,
  viewOf,
  writeFrontend,
  writeNodePort,
  writeService,
} from "../../../backends/ebpf/maps/layout.ts";
import { Pins } from "../../../backends/ebpf/programs/pins.ts";
import { IteratorTerminator, type SocketTerminator } from "../../../backends/ebpf/sockets/terminators.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { smallOptions } from "../../backends/ebpf/options.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import { addressOf, type PlanText } from "../../backends/plans.ts";
import { isLinux } from "./support/kernel_version.ts";
import type { TestNode } from "./support/sockets/node.ts";
import { ENDED, settings, socketErrorOf, untilEnded, withScene } from "./support/sockets/scene.ts";

/** Generation that is later than every change of endpoints. */
const ALL = 0xffff_ffff;
const UDP = { protocol: "UDP" } as const;

/** The object file of each socket terminator. */
const terminators = { "an iterator": "destroy", "sock_diag": "find" } as const;

function terminatorFor(node: TestNode, object: "destroy" | "find"): SocketTerminator {
  return new IteratorTerminator(pinsOf(node), smallOptions.capacity, object);
}

function pinsOf(node: TestNode): Pins {
  return new Pins(node.bpffs, smallOptions.capacity);
}

/** Programs plans in a process that ends before it scans sockets itself. */
async function program(node: TestNode, plans: readonly ServicePortPlan[]): Promise<void> {
  await using backend = node.startBackend();
  await backend.reconcile(plans, settings);
}

const web: PlanText = { name: "web", clusterIP: "10.96.0.10:80", nodePort: 30080 };
const web6: PlanText = { name: "web6", clusterIP: "[fd00:96::10]:80" };
const onA = planOf({ ...web, endpoints: ["10.1.0.2:8080"] });
const onB = planOf({ ...web, endpoints: ["10.1.0.3:8080"] });
const six = planOf({ ...web6, endpoints: ["[fd00:1::2]:8080"] });
const sixRejected = planOf({ ...web6, internal: "reject", external: "reject", endpoints: [] });
const other = planOf({ name: "other", clusterIP: "10.96.0.20:80", endpoints: ["10.1.0.2:8080"] });

for (const [name, object] of Object.entries(terminators)) {
  // libbpf and libnl stay open.
  const options = { sanitizeResources: false, ignore: object === "destroy" && !isLinux(6, 5) };
  Deno.test(
    `connections through a service are ended once no slice lists their endpoint, by ${name}`,
    options,
    () =>
      withScene(async ({ node, client, nodeSockets }) => {
        const { sockets } = client;
        const nowhere = planOf({ name: "void", clusterIP: "10.96.0.30:80", endpoints: ["10.1.0.99:80"] });
        await program(node, [onA, six, other, nowhere]);
        await sockets.keep("pod", "10.96.0.10", 80);
        await sockets.keep("mapped", "::ffff:10.96.0.10", 80);
        await sockets.keep("node port", "10.1.0.1", 30080);
        await sockets.keep("v6", "fd00:96::10", 80);
        await nodeSockets.keep("node", "10.96.0.10", 80);
        await nodeSockets.keep("loopback", "127.0.0.1", 30080);
        await sockets.keep("through another service", "10.96.0.20", 80);
        await sockets.keep("direct", "10.1.0.2", 8080);
        // A neighbour entry without a host behind it.
        const neighbour = ["neigh", "add", "10.1.0.99", "lladdr", "02:00:00:00:00:99", "dev", "eth0"];
        await client.namespace.run("ip", ...neighbour);
        await sockets.startConnecting("connecting", "10.96.0.30", 80);
        using terminator = terminatorFor(node, object);
        assert.equal((await terminator.end("TCP", ALL)).ended, 0);
        assert.match(await socketErrorOf(sockets.ask("connecting")), /temporarily unavailable/);

        // The endpoint is not ready any more, but still listed.
        const draining = {
          ...onB,
          servingEndpoints: [...onA.servingEndpoints, ...onB.servingEndpoints],
        };
        await program(node, [draining, six, other, nowhere]);
        assert.equal((await terminator.end("TCP", ALL)).ended, 0);

        const noVoid = { ...nowhere, clusterEndpoints: [], servingEndpoints: [] };
        await program(node, [onB, sixRejected, other, noVoid]);
        assert.equal((await terminator.end("TCP", 0)).ended, 0, "the change has not settled yet");
        assert.equal((await terminator.end("UDP", ALL)).ended, 0, "none of them is a UDP socket");
        assert.equal((await terminator.end("TCP", ALL)).ended, 7);
        assert.equal((await terminator.end("TCP", ALL)).ended, 0);
        for (const gone of ["pod", "mapped", "node port", "v6", "connecting"]) {
          assert.match(await socketErrorOf(sockets.ask(gone)), ENDED, gone);
        }
        for (const gone of ["node", "loopback"]) {
          assert.match(await socketErrorOf(nodeSockets.ask(gone)), ENDED, gone);
        }
        assert.equal((await sockets.ask("through another service")).server, "a");
        assert.equal((await sockets.ask("direct")).server, "a");
        assert.equal((await sockets.connect("10.96.0.10", 80)).server, "b");
      }),
  );

  Deno.test(
    `connections outlive their service, its frontends and the next service that has those, by ${name}`,
    options,
    () =>
      withScene(async ({ node, client: { sockets }, backend }) => {
        await backend.reconcile([onA], settings);
        await sockets.keep("pod", "10.96.0.10", 80);
        await sockets.keep("node port", "10.1.0.1", 30080);
        using terminator = terminatorFor(node, object);
        const change = async (old: ServicePortPlan | undefined, next: ServicePortPlan | undefined) => {
          const key = (next ?? old)?.key;
          assert(key !== undefined);
          await backend.apply([{ key, old, new: next }]);
          assert.equal((await terminator.end("TCP", ALL)).ended, 0);
          for (const name of ["pod", "node port"]) assert.equal((await sockets.ask(name)).server, "a");
        };
        const withoutNodePort = { ...onA, frontends: onA.frontends.slice(0, 1) };
        await change(onA, withoutNodePort);
        await change(withoutNodePort, undefined);
        const successor = planOf({ ...web, name: "successor", endpoints: ["10.1.0.3:8080"] });
        await change(undefined, successor);
        assert.equal((await sockets.connect("10.96.0.10", 80)).server, "b");
      }),
  );

  Deno.test(
    `UDP sockets are ended when their endpoint stops serving or their frontend is gone, by ${name}`,
    options,
    () =>
      withScene(async ({ node, client: { sockets } }) => {
        const dns = planOf({ name: "dns", clusterIP: "10.96.0.53:53", ...UDP, endpoints: ["10.1.0.2:8080"] });
        const v6 = planOf({
          name: "v6",
          clusterIP: "[fd00:96::53]:53",
          nodePort: 30053,
          ...UDP,
          endpoints: ["[fd00:1::2]:8080"],
        });
        await program(node, [dns, v6]);
        for (const name of ["dns", "direct"]) await sockets.keep(name, "10.96.0.53", 53, UDP);
        await sockets.keep("mapped", "::ffff:10.96.0.53", 53, UDP);
        await sockets.keep("v6", "fd00:96::53", 53, UDP);
        await sockets.keep("node port", "fd00:1::1", 30053, UDP);
        // The socket is connected to the endpoint directly now.
        assert.equal((await sockets.reconnect("direct", "10.1.0.2", 8080)).peer, "10.1.0.2");
        using terminator = terminatorFor(node, object);
        assert.equal((await terminator.end("UDP", 0)).ended, 0);

        // Changes the map directly, because a running proxy would soon end the sockets itself.
        using services = pinsOf(node).openMap("services");
        const [key, value] = [new Uint8Array(SIZE.frontend), new Uint8Array(SIZE.service)];
        writeFrontend(viewOf(key), 0, addressOf("10.96.0.53"), 53, "UDP");
        assert(services.lookup(key, value));
        const service = readService(viewOf(value), 0);
        writeService(viewOf(value), 0, { ...service, serving: { first: 0, count: 0 } }, viewOf(key), 0);
        services.update(key, value);
        assert.equal((await terminator.end("UDP", 0)).ended, 2);
        for (const gone of ["dns", "mapped"]) assert.match(await socketErrorOf(sockets.ask(gone)), ENDED);

        writeNodePort(viewOf(key), 0, "IPv6", 30053, "UDP");
        assert(services.delete(key));
        assert.equal((await terminator.end("UDP", 0)).ended, 1);
        assert.match(await socketErrorOf(sockets.ask("node port")), ENDED);
        assert.equal((await sockets.ask("v6")).server, "a");
        assert.equal((await sockets.ask("direct")).server, "a");
      }),
  );
}

Deno.test("connections are ended some seconds after their endpoint is gone, also across a restart", () =>
  withScene(async ({ node, client: { sockets }, backend }) => {
    await backend.reconcile([onA, other], settings);
    await sockets.keep("pod", "10.96.0.10", 80);
    await sockets.keep("late", "10.96.0.20", 80);
    const resting = { ...onB, servingEndpoints: [...onA.servingEndpoints, ...onB.servingEndpoints] };
    await backend.apply([{ key: onA.key, old: onA, new: resting }]);
    // A slice is rewritten.
    await backend.apply([{ key: onA.key, old: resting, new: onB }]);
    await delay(300);
    await backend.apply([{ key: onA.key, old: onB, new: resting }]);
    await delay(3500);
    assert.equal((await sockets.ask("pod")).server, "a");
    await backend.apply([{ key: onA.key, old: resting, new: onB }]);
    await delay(1500);
    assert.equal((await sockets.ask("pod")).server, "a");
    await untilEnded(sockets, "pod");
    assert.equal((await sockets.ask("late")).server, "a");

    await backend[Symbol.asyncDispose]();
    await using next = node.startBackend();
    await next.reconcile([onB, { ...other, clusterEndpoints: [], servingEndpoints: [] }], settings);
    assert.equal((await sockets.ask("late")).server, "a");
    await untilEnded(sockets, "late");
  }));

/** Requirements that are missing without CAP_SYS_ADMIN on kernels whose connection tracking is a module. */
const lookupOfModule = existsSync("/sys/kernel/btf/nf_conntrack")
  ? [["lookup of netfilter's flows", "recommended"]]
  : [];

Deno.test("without CAP_SYS_ADMIN, sockets of the node are ended, and the namespaces of pods are counted", () =>
  withScene(async ({ node, client: { sockets }, nodeSockets }) => {
    const withoutSysAdmin = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    await using backend = node.startBackend({}, withoutSysAdmin);
    const missing = (await backend.probe()).filter(({ found }) => !found);
    assert.deepEqual(missing.map(({ name, severity }) => [name, severity]), [
      ...lookupOfModule,
      ["access to network namespaces of pods", "recommended"],
    ]);
    for (const { detail } of missing) assert.match(detail, /^the process lacks CAP_SYS_ADMIN, /);
    assert.match(missing.at(-1)?.detail ?? "", /Sockets of the node are ended/);

    const dns = planOf({ name: "dns", clusterIP: "10.96.0.53:53", ...UDP, endpoints: ["10.1.0.2:8080"] });
    await backend.reconcile([onA, dns], settings);
    await sockets.keep("pod", "10.96.0.53", 53, UDP);
    await nodeSockets.keep("node", "10.96.0.53", 53, UDP);
    await nodeSockets.keep("connection", "10.96.0.10", 80);
    await backend.apply([{ key: dns.key, old: dns, new: undefined }, { key: onA.key, old: onA, new: onB }]);
    await untilEnded(nodeSockets, "node");
    await untilEnded(nodeSockets, "connection");
    assert.equal((await sockets.ask("pod")).server, "a");
    const denied = (await backend.metrics()).find(({ name }) =>
      name === "ebpf_inaccessible_network_namespaces"
    );
    assert((denied?.samples[0]?.value ?? 0) >= 3, "the test has three pods");
    // Without sockets of pods nothing is missing.
    await using ofNode = node.startBackend({ sockets: "node" }, withoutSysAdmin);
    const lackedByNode = (await ofNode.probe()).filter(({ found }) => !found);
    assert.deepEqual(lackedByNode.map(({ name, severity }) => [name, severity]), lookupOfModule);
  }));
