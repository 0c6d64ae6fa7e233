import { type Address, contains, familyOf, formatAddress, formatCidr } from "../../net/address.ts";
import { eachInTurns } from "../../async/turns.ts";
import { FrontendLookup } from "./frontend_lookup.ts";
import {
  describeFrontend,
  type Endpoint,
  type NodeSettings,
  printedName,
  type Route,
} from "../../plan/plan.ts";
import type {
  Connection,
  EndpointChoice,
  PlannedFrontend,
  Stopped,
  Trace,
  TracedNode,
  TraceOutcome,
  TraceStep,
} from "./trace.ts";

/**
 * Traces a new connection through a node: source ranges, the frontend, its route, masquerading, and finally
 * the filters. The order is that of mode nftables (docs/behaviour.md §5.2), which is the order of the hooks
 * that a packet passes. The rules are those of §4.
 * @throws RangeError when source and destination are of different families.
 */
export function traceConnection(node: TracedNode, connection: Connection): Trace {
  const walk = walkOf(node, connection);
  if (!(walk instanceof Walk)) return walk;
  const decided = walk.decide();
  if (!("endpoints" in decided)) return { outcome: decided, steps: walk.steps };
  const choices = decided.endpoints.map((endpoint) => walk.choice(decided, endpoint));
  return { outcome: walk.balanced(decided, choices), steps: walk.steps };
}

/** Traces as `traceConnection` does, in turns, because a service may have thousands of endpoints. */
export async function traceInTurns(node: TracedNode, connection: Connection): Promise<Trace> {
  const walk = walkOf(node, connection);
  if (!(walk instanceof Walk)) return walk;
  const decided = walk.decide();
  if (!("endpoints" in decided)) return { outcome: decided, steps: walk.steps };
  const choices: EndpointChoice[] = [];
  await eachInTurns(decided.endpoints, (endpoint) => choices.push(walk.choice(decided, endpoint)));
  return { outcome: walk.balanced(decided, choices), steps: walk.steps };
}

/** @returns a trace that has ended if the family is not in use. */
function walkOf(node: TracedNode, connection: Connection): Walk | Trace {
  const family = familyOf(connection.destination);
  if (familyOf(connection.source) !== family) {
    throw new RangeError("a connection has a source and a destination of one family");
  }
  const settings = node.settings.find((one) => one.family === family);
  if (settings === undefined) {
    const text = `${family} is not in use on this node: passed unchanged`;
    return { steps: [{ text, section: "§9.4" }], outcome: { verdict: "passed" } };
  }
  return new Walk(node, settings, connection);
}

/** The endpoints that a connection is balanced over. */
interface BalancedRoute {
  readonly target: PlannedFrontend;
  /** At least one. */
  readonly endpoints: readonly Endpoint[];
  readonly masquerades: boolean;
}

/** Path of one connection through the node. */
class Walk {
  readonly steps: TraceStep[] = [];
  readonly #lookup: FrontendLookup;
  readonly #settings: NodeSettings;
  readonly #connection: Connection;
  readonly #relays: boolean;

  constructor(node: TracedNode, settings: NodeSettings, connection: Connection) {
    this.#lookup = new FrontendLookup(node, settings, connection.protocol);
    this.#settings = settings;
    this.#connection = connection;
    this.#relays = node.relays === true;
  }

  /** Decides which endpoints the connection is balanced over, or what becomes of it instead. */
  decide(): BalancedRoute | Exclude<TraceOutcome, { readonly verdict: "balanced" }> {
    const { destination, port } = this.#connection;
    const byAddress = this.#lookup.atAddress(destination, port);
    if (byAddress !== undefined) {
      this.#say(
        `frontend ${this.#named(byAddress)} of ${printedName(byAddress.plan)} (${byAddress.frontend.kind})`,
        "§2",
      );
      if (!this.#isAdmitted(byAddress)) return { verdict: "dropped", target: byAddress };
    }
    const target = this.#dispatched(byAddress);
    const balanced = target === undefined ? undefined : this.#balance(target);
    if (balanced !== undefined) return balanced;
    const stopped = this.#filtered(destination, port);
    if (stopped === undefined) {
      if (target === undefined) this.#say("no frontend of a service: passed unchanged", "§4");
      return { verdict: "passed" };
    }
    this.#say(stopped.why, stopped.section);
    return { verdict: stopped.verdict, target: stopped.target };
  }

  /** Source ranges guard the load-balancer addresses, with or without endpoints behind them. */
  #isAdmitted({ plan, frontend }: PlannedFrontend): boolean {
    if (frontend.kind !== "LoadBalancerIP" || plan.sourceRanges === undefined) return true;
    const { source } = this.#connection;
    const range = plan.sourceRanges.find((cidr) => contains(cidr, source));
    const text = formatAddress(source);
    if (range !== undefined) this.#say(`source ${text} is in source range ${formatCidr(range)}`, "§4.6");
    else {
      this.#say(
        `source ${text} is in none of the source ranges ${
          plan.sourceRanges.map(formatCidr).join(", ")
        }: dropped`,
        "§4.6",
      );
    }
    return range !== undefined;
  }

  /** Finds the frontend with endpoints that takes the connection: by its address, then by its node port. */
  #dispatched(byAddress: PlannedFrontend | undefined): PlannedFrontend | undefined {
    if (byAddress !== undefined && isBalanced(routeOf(byAddress))) return byAddress;
    const { destination, port } = this.#connection;
    const byNodePort = this.#lookup.isLocal(destination)
      ? this.#lookup.atNodePort(destination, port)
      : undefined;
    if (byNodePort === undefined) return undefined;
    this.#say(
      `frontend ${this.#named(byNodePort)} of ${
        printedName(byNodePort.plan)
      } (NodePort), at the node's address ${formatAddress(destination)}`,
      "§4.4",
    );
    return isBalanced(routeOf(byNodePort)) ? byNodePort : undefined;
  }

  /** Returns undefined when the route has no endpoint for this source. */
  #balance(target: PlannedFrontend): BalancedRoute | undefined {
    const { affinitySeconds } = target.plan;
    const { endpoints, masquerades } = this.#route(target);
    if (endpoints.length === 0) return undefined;
    if (affinitySeconds > 0) {
      this.#say(
        `session affinity: the endpoint that this client had in the last ${affinitySeconds} s`,
        "§4.7",
      );
    }
    if (this.#relays) {
      this.#say("the connection ends at the proxy: the endpoint sees an address of this node", "§4.1");
    }
    return { target, endpoints, masquerades };
  }

  balanced({ target }: BalancedRoute, choices: readonly EndpointChoice[]): TraceOutcome {
    return { verdict: "balanced", target, choices, affinitySeconds: target.plan.affinitySeconds };
  }

  /** Endpoints that the traffic policies allow for this source, and whether it is masqueraded. */
  #route({ plan, frontend }: PlannedFrontend): {
    readonly endpoints: readonly Endpoint[];
    readonly masquerades: boolean;
  } {
    const isMarked = this.#isMarkedForClusterIP();
    const route = routeOf({ plan, frontend });
    if (route.verdict === "balance") {
      const toCluster = route.to === "cluster";
      const endpoints = toCluster ? plan.clusterEndpoints : plan.localEndpoints;
      const policy = frontend.kind === "ClusterIP" ? "internalTrafficPolicy" : "externalTrafficPolicy";
      this.#say(
        toCluster
          ? `${policy} Cluster: ${oneOf(endpoints)} in the cluster`
          : `${policy} Local: ${oneOf(endpoints)} on this node`,
        "§3",
      );
      const isExternal = route.masquerade === "all";
      if (isExternal) this.#say("external address with policy Cluster: masqueraded", "§4.3");
      return { endpoints, masquerades: isMarked || isExternal };
    }
    const source = formatAddress(this.#connection.source);
    const everywhere = { endpoints: plan.clusterEndpoints, masquerades: isMarked };
    if (this.#isFromLocalPod() === true) {
      this.#say(
        `externalTrafficPolicy Local: source ${source} is a pod of this node: short circuit to ${
          oneOf(plan.clusterEndpoints)
        } in the cluster, not masqueraded`,
        "§4.3",
      );
      return everywhere;
    }
    if (this.#lookup.isLocal(this.#connection.source)) {
      this.#say(
        `externalTrafficPolicy Local: source ${source} is an address of this node: short circuit to ${
          oneOf(plan.clusterEndpoints)
        } in the cluster, masqueraded`,
        "§4.3",
      );
      return { ...everywhere, masquerades: true };
    }
    if (plan.localEndpoints.length > 0) {
      this.#say(
        `externalTrafficPolicy Local: ${
          oneOf(plan.localEndpoints)
        } on this node, which sees the client's address`,
        "§4.3",
      );
    }
    return { endpoints: plan.localEndpoints, masquerades: isMarked };
  }

  /**
   * The rule depends on the address: it also applies to another frontend on an address that is a ClusterIP.
   */
  #isMarkedForClusterIP(): boolean {
    const { source, destination } = this.#connection;
    if (this.#relays || !this.#lookup.isClusterIP(destination)) return false;
    if (this.#settings.masqueradeAll) {
      this.#say("masqueradeAll: all connections to a ClusterIP are masqueraded", "§4.3");
      return true;
    }
    const isPod = this.#isFromLocalPod();
    const text = `source ${formatAddress(source)}`;
    if (isPod === undefined) {
      this.#say(`${text} may be a pod of this node, which cannot be detected: not masqueraded`, "§4.2");
    } else if (isPod) this.#say(`${text} is a pod of this node: not masqueraded`, "§4.3");
    else this.#say(`${text} is not a pod of this node: masqueraded`, "§4.3");
    return isPod === false;
  }

  /** Treatment of the connection if it is sent to this endpoint. */
  choice({ target: { plan }, masquerades }: BalancedRoute, endpoint: Endpoint): EndpointChoice {
    // Its own connections pass no rule of services.
    if (this.#relays) return { endpoint, source: "node", stopped: undefined };
    const stopped = this.#filtered(endpoint.address, endpoint.port, true);
    const text = () => describeFrontend({ kind: "ClusterIP", ...endpoint }, plan.protocol);
    if (stopped !== undefined) {
      this.#say(`endpoint ${text()} is itself a service address: ${stopped.why}`, stopped.section);
    }
    return {
      endpoint,
      source: this.#isMasqueraded(endpoint, masquerades, text) ? "node" : "client",
      stopped: stopped?.verdict,
    };
  }

  #isMasqueraded(endpoint: Endpoint, masquerades: boolean, text: () => string): boolean {
    const { source, incoming } = this.#connection;
    const hairpins = source === endpoint.address && this.#lookup.mayBeHere(endpoint);
    if (hairpins && !masquerades) {
      this.#say(`endpoint ${text()} is the client itself (hairpin): masqueraded`, "§4.3");
    }
    if (!masquerades && !hairpins) return false;
    if (incoming === undefined || !this.#lookup.isLocal(endpoint.address)) return true;
    this.#say(
      `endpoint ${text()} is this node itself: connections that end here cannot be masqueraded`,
      "§4.1",
    );
    return false;
  }

  /**
   * Verdict of the filters on a packet to this address and port: the original destination when no endpoint
   * was chosen, otherwise the endpoint, which may have an address in a service range.
   */
  #filtered(address: Address, port: number, isTranslated = false): Stop | undefined {
    const here = () => this.#stoppedAtNodePort(address, port) ?? this.#stoppedAtAddress(address, port);
    const onTheWay = () =>
      this.#stoppedAtAddress(address, port) ??
        (isTranslated ? undefined : this.#stoppedAsServiceAddress(address));
    if (this.#connection.incoming === undefined) {
      return onTheWay() ?? (this.#lookup.isLocal(address) ? here() : undefined);
    }
    return this.#lookup.isLocal(address) ? here() : onTheWay();
  }

  #stoppedAtAddress(address: Address, port: number): Stop | undefined {
    return stopOf(this.#lookup.atAddress(address, port));
  }

  #stoppedAtNodePort(address: Address, port: number): Stop | undefined {
    return stopOf(this.#lookup.atNodePort(address, port));
  }

  #stoppedAsServiceAddress(address: Address): Stop | undefined {
    const text = formatAddress(address);
    if (this.#lookup.isClusterIP(address)) {
      const why = `${text} is a ClusterIP that does not serve this port: rejected`;
      return { verdict: "rejected", target: undefined, why, section: "§5.2" };
    }
    const range = this.#settings.serviceCidrs.find((cidr) => contains(cidr, address));
    // It may have been sent to the endpoint on another node.
    if (range === undefined || this.#lookup.isEndpoint(address)) return undefined;
    const why = `${text} is in the service range ${formatCidr(range)}, but belongs to no service: dropped`;
    return { verdict: "dropped", target: undefined, why, section: "§1.6" };
  }

  /** Returns undefined when local traffic cannot be detected. */
  #isFromLocalPod(): boolean | undefined {
    const { localTraffic } = this.#settings;
    const { source, incoming } = this.#connection;
    switch (localTraffic.mode) {
      case "none":
        return undefined;
      case "cidr":
        return contains(localTraffic.cidr, source);
      case "interface":
        return incoming === localTraffic.name;
      case "interface-prefix":
        return incoming?.startsWith(localTraffic.prefix) === true;
    }
  }

  #named({ plan, frontend }: PlannedFrontend): string {
    return describeFrontend(frontend, plan.protocol);
  }

  #say(text: string, section: string): void {
    this.steps.push({ text, section });
  }
}

interface Stop {
  readonly verdict: Stopped;
  readonly target: PlannedFrontend | undefined;
  readonly why: string;
  readonly section: string;
}

function routeOf({ plan, frontend }: PlannedFrontend): Route {
  return frontend.kind === "ClusterIP" ? plan.internal : plan.external;
}

function isBalanced(route: Route): boolean {
  return route.verdict === "balance" || route.verdict === "local-external";
}

/** Verdict on connections to this frontend that were not sent to an endpoint. */
function stopOf(target: PlannedFrontend | undefined): Stop | undefined {
  if (target === undefined) return undefined;
  const route = routeOf(target);
  const name = printedName(target.plan);
  if (route.verdict === "reject") {
    return { verdict: "rejected", target, why: `${name} has no endpoints: rejected`, section: "§3" };
  }
  if (
    route.verdict === "balance" || route.verdict === "local-external" && target.plan.localEndpoints.length > 0
  ) {
    return undefined;
  }
  return { verdict: "dropped", target, why: `${name} has no endpoints on this node: dropped`, section: "§3" };
}

function oneOf({ length }: readonly Endpoint[]): string {
  return length === 1 ? "the only endpoint" : `one of ${length} endpoints`;
}
