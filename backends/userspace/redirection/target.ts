import { type Address, isLinkLocal, isLoopback, LOOPBACK } from "../../../core/net/address.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { RelayedProtocol, SharedListener, Side } from "../relay/messages.ts";

/** The relay's shared listeners in one family, by side and protocol: port numbers. */
export type ListenerPorts = Readonly<Record<Side, Readonly<Record<RelayedProtocol, number>>>>;

/** The settings of the node, and where the relay listens. */
export interface RedirectionSettings extends NodeSettings {
  /** Address of this node that redirected connections go to. */
  readonly target: Address;
  readonly listeners: ListenerPorts;
}

export const SIDES: readonly Side[] = ["inside", "outside"];
export const RELAYED_PROTOCOLS: readonly RelayedProtocol[] = ["TCP", "UDP"];

/** The preferred ports: the next free ones after those of Kubernetes' own components. */
export const PREFERRED_PORTS: ListenerPorts = {
  inside: { TCP: 10270, UDP: 10270 },
  outside: { TCP: 10271, UDP: 10271 },
};

/**
 * The address of this node that redirected connections go to. Connections from outside cannot go to a loopback address,
 * so without another one only the node itself is served. The verdict `redirect` would take the first address of the
 * incoming interface, and drops packets from one without an address, as the interfaces of pods often are.
 *
 * An address of node ports comes first, because another one may be that of a Service, which moves to another node.
 * @param current stays while the node has it, because connections end with the address.
 */
export function targetOf(
  { family, interfaceAddresses, nodePorts }: NodeSettings,
  current?: Address,
): Address {
  const own = interfaceAddresses.filter((address) => !isLoopback(address) && !isLinkLocal(address));
  if (current !== undefined && own.includes(current)) return current;
  return own.find((address) => nodePorts !== "all" && nodePorts.includes(address)) ?? own[0] ??
    LOOPBACK[family];
}

/** The shared listeners to ask the relay for, with preferred ports. */
export function listenersFor(
  settings: readonly NodeSettings[],
  portsOf: (family: NodeSettings["family"]) => ListenerPorts,
): readonly SharedListener[] {
  return settings.flatMap(({ family }) =>
    SIDES.flatMap((side) =>
      RELAYED_PROTOCOLS.map((protocol) => ({ family, protocol, side, port: portsOf(family)[side][protocol] }))
    )
  );
}

/** The ports that the relay listens on in one family. */
export function portsIn(listeners: readonly SharedListener[], family: NodeSettings["family"]): ListenerPorts {
  const port = (side: Side, protocol: RelayedProtocol) =>
    listeners.find((one) => one.family === family && one.side === side && one.protocol === protocol)?.port ??
      0;
  const ofSide = (side: Side) => ({ TCP: port(side, "TCP"), UDP: port(side, "UDP") });
  return { inside: ofSide("inside"), outside: ofSide("outside") };
}
