import assert from "node:assert/strict";
import { NetworkNamespace } from "../../../support/network_namespace.ts";
import type { TestNode } from "./node.ts";
import { Sockets } from "./sockets.ts";

/** A client that reaches the node over a device of its own, from outside the cgroup. */
export class Outside implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  #sockets: Sockets | undefined;

  static async make(node: TestNode): Promise<Outside> {
    const outside = new Outside();
    const namespace = outside.#stack.use(await NetworkNamespace.make());
    const peer = ["type", "veth", "peer", "eth0", "netns", namespace.name];
    await node.network.run("ip", "link", "add", "out0", ...peer);
    await node.network.run("ip", "address", "add", "192.0.2.1/24", "dev", "out0");
    await node.network.run("ip", "link", "set", "out0", "up");
    await node.network.run("sysctl", "-qw", "net.ipv4.ip_forward=1");
    await namespace.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0");
    await namespace.run("ip", "link", "set", "eth0", "up");
    await namespace.run("ip", "route", "add", "default", "via", "192.0.2.1");
    const parent = node.cgroup.slice(0, node.cgroup.lastIndexOf("/"));
    outside.#sockets = outside.#stack.use(await Sockets.start(namespace.name, parent));
    return outside;
  }

  get sockets(): Sockets {
    assert(this.#sockets !== undefined);
    return this.#sockets;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
