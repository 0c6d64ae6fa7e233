import { formatSocketAddress } from "../net/address.ts";
import type { Family, Protocol } from "../net/protocol.ts";
import type { Frontend, PlanKey } from "./plan.ts";

/** What names a service port in one family. */
export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  /** "" for the one unnamed port. */
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
}

/** The key of a service port: `default/web:http/TCP/IPv4`. */
export function planKey(port: ServicePortName): PlanKey {
  // Joined, because a string made by adding keeps its parts beside it in memory.
  return [printedName(port), port.protocol, port.family].join("/") as PlanKey;
}

/** As upstream prints service ports: `default/web:http`, `default/web` for the unnamed port. */
export function printedName(port: Pick<ServicePortName, "namespace" | "name" | "portName">): string {
  const { namespace, name, portName } = port;
  return portName === "" ? `${namespace}/${name}` : `${namespace}/${name}:${portName}`;
}

/** The printed name of the service port that has this key. */
export function printedNameOf(key: PlanKey): string {
  return key.slice(0, key.lastIndexOf("/", key.lastIndexOf("/") - 1));
}

/** `10.96.0.10:80/TCP`, `[fd00::1]:80/UDP`, `node port 30080/TCP`. */
export function describeFrontend(frontend: Frontend, protocol: Protocol): string {
  return frontend.kind === "NodePort"
    ? `node port ${frontend.port}/${protocol}`
    : `${formatSocketAddress(frontend.address, frontend.port)}/${protocol}`;
}
