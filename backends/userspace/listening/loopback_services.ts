import type { PlanChange } from "../../../core/backend/contract.ts";
import type { LoopbackService, LoopbackState, NotServedOnLoopback } from "../../../core/backend/loopback.ts";
import { type Address, type Cidr, formatAddress, formatCidr } from "../../../core/net/address.ts";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { HostsFile } from "./hosts_file.ts";
import { type Claim, clusterIPOf, LoopbackAddresses, takenBy } from "./loopback_addresses.ts";

/** The Services on loopback addresses: which has which address, which of them are served, and the file of their names. */
export class LoopbackServices implements Disposable {
  readonly #addresses: LoopbackAddresses;
  readonly hostsFile: HostsFile | undefined;
  readonly #failureOf: (key: PlanKey) => string | undefined;
  #hostsFileProblem: string | undefined;
  /** True if the lines of the file may differ from those that were written. */
  #isChanged = true;

  /**
   * @param hostsFile path; undefined for none.
   * @param failureOf returns why a service port has no listener on its loopback address; undefined if it has one.
   */
  constructor(
    range: Cidr,
    hostsFile: string | undefined,
    failureOf: (key: PlanKey) => string | undefined,
  ) {
    this.#failureOf = failureOf;
    this.#addresses = new LoopbackAddresses(range);
    this.hostsFile = hostsFile === undefined ? undefined : new HostsFile(hostsFile);
  }

  /** Returns the loopback address of a ClusterIP; undefined if another Service has it. */
  addressOf(clusterIP: Address): Address | undefined {
    return this.#addresses.addressOf(clusterIP);
  }

  /** Makes these plans the only ones. */
  replace(plans: ReadonlyMap<PlanKey, ServicePortPlan>): void {
    this.#addresses.replace(plans);
    this.#isChanged = true;
  }

  /** @returns the other service ports that have an address from now on. */
  update(changes: readonly PlanChange[]): readonly ServicePortPlan[] {
    const others = this.#addresses.update(changes);
    if (others.length > 0 || changes.some(isOfLines)) this.#isChanged = true;
    return others;
  }

  /**
   * Called when the relay serves the services. Writes the file.
   * @param failuresChanged true if other service ports have no listener than before.
   * @returns warnings that there were none of yet.
   */
  served(failuresChanged: boolean): readonly string[] {
    if (failuresChanged) this.#isChanged = true;
    // Most changes are those of endpoints, and there may be 10,000 lines.
    if (!this.#isChanged) return [];
    const warnings = [...this.#addresses.newWarnings(), ...this.#writeHostsFile()];
    this.#isChanged = this.#hostsFileProblem !== undefined;
    return warnings;
  }

  /** @param limit maximum length of each list. */
  state(limit: number): LoopbackState {
    const served: LoopbackService[] = [];
    const notServed: NotServedOnLoopback[] = [];
    let servedTotal = 0;
    let notServedTotal = 0;
    for (const claim of this.#addresses.all()) {
      const ports = this.#servedPorts(claim);
      if (ports.length > 0 && servedTotal++ < limit) {
        const address = formatAddress(claim.loopback);
        served.push({ ...namesOf(claim), address, ports: ports.map(describePort) });
      }
      if (ports.length === claim.plans.size) continue;
      if (notServedTotal++ < limit) notServed.push({ ...namesOf(claim), reason: this.#reasonFor(claim) });
    }
    return {
      range: formatCidr(this.#addresses.range),
      ...(this.hostsFile === undefined ? {} : { hostsFile: this.hostsFile.path }),
      ...(this.#hostsFileProblem === undefined ? {} : { hostsFileProblem: this.#hostsFileProblem }),
      served: { total: servedTotal, first: served },
      notServed: { total: notServedTotal, first: notServed },
    };
  }

  [Symbol.dispose](): void {
    this.hostsFile?.[Symbol.dispose]();
  }

  #writeHostsFile(): readonly string[] {
    const before = this.#hostsFileProblem;
    this.#hostsFileProblem = undefined;
    try {
      this.hostsFile?.write(this.#hosts());
    } catch (error) {
      this.#hostsFileProblem = error instanceof Error ? error.message : String(error);
    }
    return this.#hostsFileProblem === undefined || this.#hostsFileProblem === before
      ? []
      : [this.#hostsFileProblem];
  }

  *#hosts(): Generator<{ readonly address: string; readonly names: readonly string[] }> {
    for (const claim of this.#addresses.all()) {
      const [plan] = this.#servedPorts(claim);
      if (plan === undefined) continue;
      const name = `${plan.name}.${plan.namespace}`;
      yield { address: formatAddress(claim.loopback), names: [`${name}.svc`, name] };
    }
  }

  /** Returns the ports that have a listener. */
  #servedPorts({ owner, plans }: Claim): readonly ServicePortPlan[] {
    if (owner !== undefined) return [];
    return [...plans.values()].filter((plan) =>
      hasEndpoints(plan) && this.#failureOf(plan.key) === undefined
    );
  }

  /** Returns why a Service is not served with all of its ports: the first reason. */
  #reasonFor({ owner, plans }: Claim): string {
    if (owner !== undefined) return takenBy(owner);
    for (const plan of plans.values()) {
      const failure = this.#failureOf(plan.key);
      if (failure !== undefined) return failure;
      if (!hasEndpoints(plan)) return `port ${describePort(plan)} has no endpoints`;
    }
    return "";
  }
}

/** Reports whether a change may change the lines of the file. */
function isOfLines({ old, new: next }: PlanChange): boolean {
  return old === undefined || next === undefined || clusterIPOf(old) !== clusterIPOf(next) ||
    hasEndpoints(old) !== hasEndpoints(next);
}

function hasEndpoints({ internal }: ServicePortPlan): boolean {
  return internal.verdict === "balance";
}

function namesOf({ clusterIP, plans }: Claim): Pick<LoopbackService, "service" | "clusterIP"> {
  const [plan] = plans.values();
  return { service: `${plan?.namespace}/${plan?.name}`, clusterIP: formatAddress(clusterIP) };
}

/** Formats `80/TCP`. */
function describePort({ frontends, protocol }: ServicePortPlan): string {
  return `${frontends.find(({ kind }) => kind === "ClusterIP")?.port}/${protocol}`;
}
