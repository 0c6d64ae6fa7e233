import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import type { EntryMap } from "../maps/kernel_maps.ts";
import { SETTING } from "../maps/layout.ts";
import { changeFlags } from "../maps/node_settings.ts";
import type { Forwarding } from "../options.ts";
import { type ForwardRules, readForwardRules } from "./forward_rules.ts";
import { hasIpsecPolicies } from "./ipsec_policies.ts";

/** Interval at which rules and policies are read again. The legacy tables send no notifications. */
const CHECK_MS = 30_000;

/**
 * Chooses whether translated packets leave past the stack, or pass it, with the rules of netfilter's chain FORWARD and
 * the policies of IPsec (--ebpf-forward). A network policy engine may start at any time, so that the choice of `auto` is
 * made again and again. It applies to flows that exist, too.
 */
export class ForwardChoice implements Disposable {
  readonly #forwarding: Forwarding;
  readonly #nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">;
  readonly #report: (what: string) => void;
  #client: NetlinkClient | undefined;
  #timer: number | undefined;
  #isThroughStack: boolean;

  /**
   * @param nodeSettings map whose SETTING_THROUGH_STACK tells the programs.
   * @param report receives changes of the choice between two updates.
   */
  constructor(
    forwarding: Forwarding,
    nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">,
    report: (what: string) => void,
  ) {
    this.#forwarding = forwarding;
    this.#nodeSettings = nodeSettings;
    this.#report = report;
    this.#isThroughStack = forwarding === "stack";
  }

  get isThroughStack(): boolean {
    return this.#isThroughStack;
  }

  /** SETTING_THROUGH_STACK, or 0. */
  get flag(): number {
    return this.#isThroughStack ? SETTING.THROUGH_STACK : 0;
  }

  /** Chooses, and returns what the operator should know about the choice. */
  async update(): Promise<readonly string[]> {
    if (this.#forwarding === "stack") return [];
    this.#client ??= NetlinkClient.open(NETLINK_NETFILTER);
    const rules = await readForwardRules(this.#client);
    const hasIpsec = await hasIpsecPolicies();
    // Disposed while the rules were read.
    if (this.#client === undefined) return [];
    if (this.#forwarding === "auto") {
      this.#choose(rules.policyEngines.length > 0 || hasIpsec);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#updateLater().catch(this.#reportFailure), CHECK_MS);
    }
    return [...describe(rules, hasIpsec, this.#forwarding)];
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#client?.[Symbol.dispose]();
    this.#client = undefined;
  }

  async #updateLater(): Promise<void> {
    const before = this.#isThroughStack;
    await this.update();
    if (this.#isThroughStack === before) return;
    this.#report(
      before
        ? "the rules of the network policy engine, or the policies of IPsec, are gone, so packets for services leave " +
          "past the stack again"
        : "a network policy engine, or a policy of IPsec, has appeared, so packets for services pass the stack and " +
          "netfilter's FORWARD",
    );
  }

  /** Causes a reconcile, which tries again. */
  readonly #reportFailure = (error: Error) => {
    if (this.#client === undefined) return;
    this.#report(
      "rules on FORWARD or policies of IPsec could not be read, so --ebpf-forward=auto may be out of date: " +
        error.message,
    );
  };

  #choose(isThroughStack: boolean): void {
    this.#isThroughStack = isThroughStack;
    const flag = SETTING.THROUGH_STACK;
    changeFlags(this.#nodeSettings, isThroughStack ? { set: flag } : { clear: flag });
  }
}

/** Warnings about rules and policies that packets for services do or do not pass. */
function* describe(
  { policyEngines, droppingChains }: ForwardRules,
  hasIpsec: boolean,
  forwarding: Exclude<Forwarding, "stack">,
): Generator<string> {
  const isAuto = forwarding === "auto";
  if (policyEngines.length > 0) {
    const engines = policyEngines.join(" and ");
    yield isAuto
      ? `${engines} implements network policies with rules on FORWARD, so packets for services from outside pass ` +
        "them, which is slower. To have them leave past netfilter, set --ebpf-forward=direct"
      : `network policies of ${engines} do not apply to connections from outside to services, because of ` +
        "--ebpf-forward=direct. Set it to auto or stack";
  }
  if (hasIpsec) {
    yield isAuto
      ? "this node has policies of IPsec (ip xfrm policy), so packets for services from outside pass them, which is " +
        "slower. They see the client instead of the node as the source of masqueraded connections; if such a " +
        "connection needs IPsec, use mode nftables. To have packets leave past the policies, set --ebpf-forward=direct"
      : "policies of IPsec (ip xfrm policy) do not apply to connections from outside to services, because of " +
        "--ebpf-forward=direct. Set it to auto or stack";
  }
  const passesStack = isAuto && hasIpsec;
  if (policyEngines.length > 0 || passesStack || droppingChains.length === 0) return;
  yield `chain ${
    droppingChains.join(", ")
  } drops what it does not accept, but connections from outside to services ` +
    "do not pass it. If it shall apply to them, set --ebpf-forward=stack";
}
