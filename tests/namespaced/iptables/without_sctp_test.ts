import assert from "node:assert/strict";
import { BackendError } from "../../../core/backend/contract.ts";
import { IptablesBackend } from "../../../backends/iptables/backend.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import type { NetlinkTransport } from "../../../ffi/netlink/transport.ts";
import { desiredOf, planOf } from "../../backends/plans.ts";

/**
 * The real kernel without the match sctp: requests ask for a match that no kernel has instead. Run by
 * kernel_test.ts.
 */
class KernelWithoutSctp implements NetlinkTransport {
  readonly #socket = NetlinkSocket.open(NETLINK_NETFILTER);

  get portId(): number {
    return this.#socket.portId;
  }

  send(message: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#socket.send(withoutSctp(message));
  }

  receiveOfDump(isLarge: boolean): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#socket.receiveOfDump(isLarge);
  }

  receive(): Uint8Array<ArrayBuffer> | undefined {
    return this.#socket.receive();
  }

  readable(timeoutMs: number): Promise<boolean> {
    return this.#socket.readable(timeoutMs);
  }

  joinGroup(group: number): void {
    this.#socket.joinGroup(group);
  }

  leaveGroup(group: number): void {
    this.#socket.leaveGroup(group);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

function withoutSctp(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextDecoder("latin1").decode(message);
  const changed = message.slice();
  for (const { index } of text.matchAll(/sctp\0/g)) changed.set(new TextEncoder().encode("none"), index);
  return changed;
}

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

Deno.test(
  "only a service that needs a missing match is reported",
  keepsLibraries,
  async () => {
    using backend = new IptablesBackend(() => new KernelWithoutSctp());
    const reports: string[] = [];
    using _watch = backend.watch((what) => reports.push(what));
    const web = planOf({ name: "web", clusterIP: "10.96.0.10:80" });
    const signalling = planOf({ name: "signalling", protocol: "SCTP", clusterIP: "10.96.0.11:80" });
    const isNamed = (error: unknown) => {
      assert.ok(error instanceof BackendError);
      assert.deepEqual(error.rejectedKeys, [signalling.key]);
      assert.match(
        error.message,
        /for service default\/signalling.*, which needs match sctp of the kernel .*: ENOENT/,
      );
      return true;
    };
    await assert.rejects(backend.reconcile(desiredOf([web, signalling])), isNamed);
    assert.equal((await backend.reconcile(desiredOf([web]))).found, "nothing");
    const change = { key: signalling.key, old: undefined, new: signalling };
    await assert.rejects(backend.apply([change]), isNamed);
    assert.deepEqual(reports, []);
    const sctp = (await backend.probe()).find(({ name }) => name === "match sctp");
    assert.deepEqual([sctp?.found, sctp?.severity], [false, "recommended"]);
  },
);
