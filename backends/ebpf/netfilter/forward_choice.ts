import { KernelError } from "../../../ffi/errors.ts";
import type { EntryMap } from "../maps/kernel_maps.ts";
import { SETTING } from "../maps/layout.ts";
import { changeFlags } from "../maps/node_settings.ts";
import type { Forwarding } from "../options.ts";
import { type ForwardRules, readForwardRules } from "./forward_rules.ts";
import { hasIpsecPolicies } from "./ipsec_policies.ts";

/** Interval at which rules and policies are read again. The legacy tables send no notifications. */
const CHECK_MS = 30_000;
/** Interval while they cannot be read. */
const RETRY_MS = 5000;

/** Rules and policies that apply only to packets that pass the stack. */
export interface StackPolicies extends ForwardRules {
  readonly hasIpsec: boolean;
}

/**
 * Chooses whether translated packets leave past the stack, or pass it, with the rules of netfilter's chain FORWARD and
 * the policies of IPsec (--ebpf-forward). A network policy engine may start at any time, so that the choice of `auto` is
 * made again and again. It applies to flows that exist, too.
 */
export class ForwardChoice implements Disposable {
  readonly #forwarding: Forwarding;
  readonly #nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">;
  readonly #report: (what: string) => void;
  readonly #read: () => Promise<StackPolicies>;
  #timer: number | undefined;
  /** Undefined until the first choice. */
  #isThroughStack: boolean | undefined;
  #isReadable = true;
  #isDisposed = false;

  /**
   * @param nodeSettings map whose SETTING_THROUGH_STACK tells the programs.
   * @param report receives changes of the choice between two updates.
   * @param read the seam for tests.
   */
  constructor(
    forwarding: Forwarding,
    nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">,
    report: (what: string) => void,
    read: () => Promise<StackPolicies> = readPolicies,
  ) {
    this.#forwarding = forwarding;
    this.#nodeSettings = nodeSettings;
    this.#report = report;
    this.#read = read;
    if (forwarding !== "auto") this.#isThroughStack = forwarding === "stack";
  }

  get isThroughStack(): boolean {
    return this.#isThroughStack === true;
  }

  /** SETTING_THROUGH_STACK, or 0. */
  get flag(): number {
    return this.isThroughStack ? SETTING.THROUGH_STACK : 0;
  }

  /** Chooses, and returns what the operator should know about the choice. */
  async update(): Promise<readonly string[]> {
    if (this.#forwarding === "stack") return [];
    const found = await this.#tryRead();
    if (this.#isDisposed) return [];
    this.#isReadable = !(found instanceof KernelError);
    const isAuto = this.#forwarding === "auto";
    if (isAuto) {
      // Packets must not leave past policies that could not be read.
      this.#choose(found instanceof KernelError ? this.#isThroughStack ?? true : needsStack(found));
      clearTimeout(this.#timer);
      const delay = this.#isReadable ? CHECK_MS : RETRY_MS;
      this.#timer = setTimeout(() => this.#updateLater().catch(this.#reportFailure), delay);
    }
    if (!(found instanceof KernelError)) return [...describe(found, this.#forwarding)];
    const effect = isAuto ? `packets for services ${this.#way} until they can` : "nothing warns about them";
    return [`${UNREADABLE}, so ${effect}: ${found.message}`];
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#isDisposed = true;
  }

  async #tryRead(): Promise<StackPolicies | KernelError> {
    try {
      return await this.#read();
    } catch (error) {
      if (error instanceof KernelError) return error;
      throw error;
    }
  }

  async #updateLater(): Promise<void> {
    const [wasThroughStack, wasReadable] = [this.#isThroughStack, this.#isReadable];
    const warnings = await this.update();
    if (this.#isDisposed) return;
    if (this.#isThroughStack !== wasThroughStack) {
      this.#report(
        wasThroughStack
          ? "the rules of the network policy engine, or the policies of IPsec, are gone, so packets for services leave " +
            "past the stack again"
          : "a network policy engine, or a policy of IPsec, has appeared, so packets for services pass the stack and " +
            "netfilter's FORWARD",
      );
    } else if (wasReadable && !this.#isReadable) this.#report(warnings.join("; "));
  }

  /** Causes a reconcile, which tries again. */
  readonly #reportFailure = (error: Error) => {
    if (!this.#isDisposed) {
      this.#report(`${UNREADABLE}, so packets for services ${this.#way}: ${error.message}`);
    }
  };

  get #way(): string {
    return this.isThroughStack ? "pass the stack" : "leave past the stack";
  }

  #choose(isThroughStack: boolean): void {
    this.#isThroughStack = isThroughStack;
    const flag = SETTING.THROUGH_STACK;
    changeFlags(this.#nodeSettings, isThroughStack ? { set: flag } : { clear: flag });
  }
}

const UNREADABLE = "rules on FORWARD or policies of IPsec could not be read";

async function readPolicies(): Promise<StackPolicies> {
  return { ...await readForwardRules(), hasIpsec: await hasIpsecPolicies() };
}

function needsStack({ policyEngines, hasIpsec }: StackPolicies): boolean {
  return policyEngines.length > 0 || hasIpsec;
}

/** Warnings about rules and policies that packets for services do or do not pass. */
function* describe(
  { policyEngines, droppingChains, hasIpsec }: StackPolicies,
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
