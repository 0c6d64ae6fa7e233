import assert from "node:assert/strict";
import { SETTING, SIZE } from "../../../../backends/ebpf/maps/layout.ts";
import { ForwardChoice, type StackPolicies } from "../../../../backends/ebpf/netfilter/forward_choice.ts";
import { readForwardRules } from "../../../../backends/ebpf/netfilter/forward_rules.ts";
import type { Forwarding } from "../../../../backends/ebpf/options.ts";
import { errnoOf } from "../../../../ffi/errno.ts";
import { KernelError } from "../../../../ffi/errors.ts";
import { FakeTransport } from "../../../ffi/netlink/fake_transport.ts";
import { FakeMap } from "../services/fake_kernel.ts";

const NONE: StackPolicies = { policyEngines: [], droppingChains: [], hasIpsec: false };
const CALICO: StackPolicies = { ...NONE, policyEngines: ["Calico"] };
const INTERRUPTED = new KernelError("list chains of nf_tables", errnoOf("EINTR"));

Deno.test("rules that cannot be read leave the choice as it is", async () => {
  using node = new Node("auto");
  await node.finds(CALICO);
  assert.equal(node.isThroughStack, true);
  const [warning] = await node.finds(INTERRUPTED);
  assert.equal(node.isThroughStack, true, "network policies still apply");
  assert.match(
    warning ?? "",
    /could not be read, so packets for services pass the stack until they can: .*EINTR/,
  );
  await node.finds(NONE);
  assert.equal(node.isThroughStack, false);
  assert.match((await node.finds(INTERRUPTED)).join(), /leave past the stack until they can/);
  assert.equal(node.isThroughStack, false);
});

Deno.test("before rules could be read for the first time, packets pass the stack", async () => {
  using node = new Node("auto");
  await node.finds(INTERRUPTED);
  assert.equal(node.isThroughStack, true);
});

Deno.test("--ebpf-forward=direct and stack do not depend on what can be read", async () => {
  using direct = new Node("direct");
  assert.match((await direct.finds(INTERRUPTED)).join(), /could not be read, so nothing warns about them/);
  assert.match((await direct.finds(CALICO)).join(), /do not apply/);
  assert.equal(direct.isThroughStack, false);
  using stack = new Node("stack");
  assert.deepEqual(await stack.finds(INTERRUPTED), []);
  assert.equal(stack.isThroughStack, true);
});

Deno.test("only a kernel without nf_tables has no chains there; every other error is reported", async () => {
  for (const errno of ["EINVAL", "EPROTONOSUPPORT"]) {
    assert.deepEqual((await readForwardRules(() => failing(errno))).droppingChains, []);
  }
  for (const errno of ["EINTR", "EMFILE", "ENOBUFS", "EPERM"]) {
    await assert.rejects(() => readForwardRules(() => failing(errno)), { errnoName: errno });
  }
});

/** A socket on which no request succeeds. */
function failing(errno: string): FakeTransport {
  return new FakeTransport(() => [new KernelError("list chains of nf_tables", errnoOf(errno))]);
}

/** A node with a scripted answer to the question which policies there are. */
class Node implements Disposable {
  readonly #settings = new FakeMap(4, SIZE.settings);
  readonly #choice: ForwardChoice;
  #found: StackPolicies | KernelError = NONE;

  constructor(forwarding: Forwarding) {
    this.#settings.update(new Uint8Array(4), new Uint8Array(SIZE.settings));
    this.#choice = new ForwardChoice(
      forwarding,
      this.#settings,
      () => {},
      () => this.#found instanceof KernelError ? Promise.reject(this.#found) : Promise.resolve(this.#found),
    );
  }

  /** @returns the warnings of a look that finds this. */
  finds(found: StackPolicies | KernelError): Promise<readonly string[]> {
    this.#found = found;
    return this.#choice.update();
  }

  /** The flag for the programs. */
  get isThroughStack(): boolean {
    return this.#choice.flag === SETTING.THROUGH_STACK;
  }

  [Symbol.dispose](): void {
    this.#choice[Symbol.dispose]();
  }
}
