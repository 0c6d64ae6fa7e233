import { NetworkNamespace, run } from "../../support/network_namespace.ts";
import { PythonProgram } from "./python_program.ts";

/** MTU of the second link: the least that IPv6 allows. */
const MTU = 1280;

/** Answers each datagram with the name "far" and the text. */
const SERVER = `
import select, socket
sockets = []
for family, address in ((socket.AF_INET, "10.2.1.2"), (socket.AF_INET6, "fd00:2:1::2")):
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((address, 5353))
    sockets.append(server)
print("ready", flush=True)
while True:
    for server in select.select(sockets, [], [])[0]:
        text, client = server.recvfrom(65536)
        server.sendto(b"far: " + text, client)
`;

/** A UDP endpoint behind a router whose second link has a smaller MTU than the first one. */
export class NarrowPath implements AsyncDisposable {
  static readonly endpoints = { IPv4: "10.2.1.2", IPv6: "fd00:2:1::2" } as const;
  readonly #resources: AsyncDisposableStack;

  /** Connects this network namespace to the router. */
  static async make(): Promise<NarrowPath> {
    await using resources = new AsyncDisposableStack();
    const router = resources.use(await NetworkNamespace.make());
    const far = resources.use(await NetworkNamespace.make());
    const inRouter = router.run.bind(router);
    const inFar = far.run.bind(far);
    for (const runHere of [run, inRouter, inFar]) {
      // Neighbours do not answer while the kernel checks whether another host has the link-local address.
      await runHere("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0");
    }
    await inRouter("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
    await run("ip", "link", "add", "near", "type", "veth", "peer", "name", "near", "netns", router.name);
    await inRouter("ip", "link", "add", "far", "type", "veth", "peer", "name", "far", "netns", far.name);
    await addLink(run, "near", 1500, "10.2.0.1/24", "fd00:2::1/64");
    await addLink(inRouter, "near", 1500, "10.2.0.2/24", "fd00:2::2/64");
    await addLink(inRouter, "far", MTU, "10.2.1.1/24", "fd00:2:1::1/64");
    await addLink(inFar, "far", MTU, "10.2.1.2/24", "fd00:2:1::2/64");
    await addRoutes(run, "10.2.1.0/24", "10.2.0.2", "fd00:2:1::/64", "fd00:2::2");
    await addRoutes(inFar, "10.2.0.0/24", "10.2.1.1", "fd00:2::/64", "fd00:2:1::1");
    const server = resources.use(new PythonProgram(SERVER, ["ip", "netns", "exec", far.name]));
    await server.line();
    return new NarrowPath(resources.move());
  }

  private constructor(resources: AsyncDisposableStack) {
    this.#resources = resources;
  }

  /** Reports whether this node has learned the MTU of the path. */
  async isKnown(family: keyof typeof NarrowPath.endpoints): Promise<boolean> {
    return (await run("ip", "route", "get", NarrowPath.endpoints[family])).includes(`mtu ${MTU}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

type Run = (command: string, ...args: readonly string[]) => Promise<unknown>;

async function addLink(run: Run, name: string, mtu: number, ...addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const noDetection = address.includes(":") ? ["nodad"] : [];
    await run("ip", "address", "add", address, "dev", name, ...noDetection);
  }
  await run("ip", "link", "set", name, "mtu", `${mtu}`, "up");
}

/** @param routes pairs of a destination and a gateway */
async function addRoutes(run: Run, ...routes: readonly string[]): Promise<void> {
  for (let index = 0; index < routes.length; index += 2) {
    await run("ip", "route", "add", routes[index] ?? "", "via", routes[index + 1] ?? "");
  }
}
