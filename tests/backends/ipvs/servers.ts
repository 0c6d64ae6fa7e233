import assert from "node:assert/strict";
import type { RealServer, VirtualServer } from "../../../backends/ipvs/servers/virtual_server.ts";
import { type Address, familyOf, parseAddress } from "../../../core/net/address.ts";
import type { Protocol } from "../../../core/net/protocol.ts";

/** `10.96.0.10:80/TCP`. The scheduler is rr by default. */
export function virtual(
  name: string,
  settings: Partial<Pick<VirtualServer, "scheduler" | "persistenceSeconds" | "flags">> = {},
): VirtualServer {
  const [socket = "", protocol] = name.split("/");
  const { address, port } = socketAddress(socket);
  return {
    family: familyOf(address),
    protocol: protocol as Protocol,
    address,
    port,
    scheduler: "rr",
    persistenceSeconds: 0,
    flags: 0,
    ...settings,
  };
}

/** `10.1.0.1:8080` */
export function real(name: string, weight = 1): RealServer {
  return { ...socketAddress(name), weight };
}

function socketAddress(text: string): { address: Address; port: number } {
  const colon = text.lastIndexOf(":");
  return {
    address: addressOf(text.slice(0, colon).replace(/^\[|\]$/g, "")),
    port: Number(text.slice(colon + 1)),
  };
}

export function addressOf(text: string): Address {
  const address = parseAddress(text);
  assert.ok(address !== undefined, text);
  return address;
}
