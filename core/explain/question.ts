import { type Address, familyOf, formatSocketAddress, parseAddress } from "../net/address.ts";
import { type Protocol, PROTOCOLS } from "../net/protocol.ts";

/** A question about a Service, or about what happens to connections to an address. */
export type Question =
  | {
    readonly about: "service";
    readonly namespace: string;
    readonly name: string;
    /** Name or number of the port; "" for all ports. */
    readonly port: string;
  }
  | {
    readonly about: "address";
    readonly address: Address;
    readonly port: number;
    readonly protocol: Protocol;
  };

/** A text that is no question, and why. */
export interface NoQuestion {
  readonly problem: string;
}

/** Forms of questions, for messages. */
export const QUESTION_FORMS = "NAMESPACE/SERVICE[:PORT], IP:PORT[/PROTOCOL] or SERVICE.NAMESPACE.svc[:PORT]";

/**
 * Parses `default/web`, `default/web:http`, `web.default.svc.cluster.local:80`, `10.96.0.10:80`, `[fd00::1]:53/udp`.
 */
export function parseQuestion(text: string): Question | NoQuestion {
  return parseSocketAddress(text) ?? parseService(text) ??
    { problem: `${JSON.stringify(text)} is neither a service nor an address: write ${QUESTION_FORMS}` };
}

function parseSocketAddress(text: string): Question | NoQuestion | undefined {
  const bare = parseAddress(text);
  if (bare !== undefined) {
    return { problem: `${text} has no port: write ${formatSocketAddress(bare, 80)}, for example` };
  }
  const [, bracketed, plain, port = "", protocolName = "TCP"] =
    /^(?:\[([^\]]*)\]|([\d.]+)):(\d{1,5})(?:\/(\w+))?$/.exec(text) ?? [];
  const address = parseAddress(bracketed ?? plain ?? "");
  if (address === undefined || (bracketed !== undefined) !== (familyOf(address) === "IPv6")) return undefined;
  const protocol = PROTOCOLS.find((one) => one === protocolName.toUpperCase());
  if (protocol === undefined) {
    return { problem: `${protocolName} is no protocol of services: write ${PROTOCOLS.join(", ")}` };
  }
  const number = Number(port);
  if (number < 1 || number > 65535) return { problem: `${port} is no port: must be 1-65535` };
  return { about: "address", address, port: number, protocol };
}

const SERVICE = /^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\/([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)(?::([-\w]+))?$/;
const DNS_NAME =
  /^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\.([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\.svc(?:\.[-.a-z0-9]+)?(?::([-\w]+))?$/;

function parseService(text: string): Question | NoQuestion | undefined {
  const [, namespace, name, port = ""] = SERVICE.exec(text) ?? [];
  if (namespace !== undefined && name !== undefined) {
    return checked({ about: "service", namespace, name, port });
  }
  const [, label, ofNamespace, dnsPort = ""] = DNS_NAME.exec(text) ?? [];
  if (label === undefined || ofNamespace === undefined) return undefined;
  return checked({ about: "service", namespace: ofNamespace, name: label, port: dnsPort });
}

/** Maximum lengths of names in Kubernetes. */
const MAX_LENGTHS = { namespace: 63, name: 253, port: 63 } as const;

function checked(question: Extract<Question, { readonly about: "service" }>): Question | NoQuestion {
  for (const [part, most] of Object.entries(MAX_LENGTHS)) {
    if (question[part as keyof typeof MAX_LENGTHS].length > most) {
      return { problem: `the ${part} is too long: must be at most ${most} characters` };
    }
  }
  return question;
}
