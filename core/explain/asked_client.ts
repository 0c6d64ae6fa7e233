import { type Address, familyOf, isLoopback, parseAddress } from "../net/address.ts";
import type { Knowledge } from "./knowledge.ts";
import { parsePodName, type PodName } from "./pod_client.ts";
import { type NoQuestion, parseQuestion, type Question } from "./question.ts";

/** The client that a question is about. */
export type AskedClient =
  | { readonly is: "every kind of client" }
  | { readonly is: "this node" }
  | { readonly is: "address"; readonly address: Address }
  | { readonly is: "pod"; readonly pod: PodName }
  /** A pod behind a Service, `namespace/name`. */
  | { readonly is: "pod of service"; readonly service: string };

/** Clients whose address follows from what is known of the cluster. */
type KnownClient = Exclude<AskedClient, { readonly is: "pod" }>;

/** Parses a client; "" stands for every kind of client. @returns the problem of a text that names none. */
export function parseClient(text: string, question: Question): AskedClient | NoQuestion {
  if (text === "") return { is: "every kind of client" };
  if (text === "node") return { is: "this node" };
  const pod = parsePodName(text, question.about === "service" ? question.namespace : "");
  if (pod !== undefined) return { is: "pod", pod };
  const address = parseAddress(text);
  if (address !== undefined) {
    return isOfFamily(question, address)
      ? { is: "address", address }
      : { problem: "must be of the same family as the address" };
  }
  // Not a Service in a namespace "pod": the namespace of the pod is missing.
  const asked = text.startsWith("pod/") ? undefined : parseQuestion(text);
  if (asked !== undefined && !("problem" in asked) && asked.about === "service" && asked.port === "") {
    return { is: "pod of service", service: `${asked.namespace}/${asked.name}` };
  }
  return { problem: "must be node, an IP address, pod/NAMESPACE/NAME or NAMESPACE/SERVICE" };
}

/**
 * Finds the address of a client: that of the node, or of the first endpoint of a Service, of the family of the question.
 * @returns undefined for every kind of client, or the problem of a client without such an address.
 */
export function addressOfClient(
  client: KnownClient,
  question: Question,
  { traced, store }: Pick<Knowledge, "traced" | "store">,
): Address | NoQuestion | undefined {
  switch (client.is) {
    case "every kind of client":
      return undefined;
    case "address":
      return client.address;
    case "this node":
      return traced.addresses.find((address) => !isLoopback(address) && isOfFamily(question, address)) ??
        { problem: "this node has no address of the family" };
    case "pod of service": {
      const stored = store.get(client.service);
      if (stored === undefined) return { problem: `there is no Service ${client.service}` };
      const endpoints = stored.slices.flatMap(({ endpoints }) => endpoints)
        .filter(({ address }) => isOfFamily(question, address));
      const first = endpoints.find(({ traits }) => traits.ready) ?? endpoints[0];
      return first?.address ??
        { problem: `Service ${client.service} has no endpoint of the family of the question` };
    }
  }
}

/** True if the address can be the client of a question. */
export function isOfFamily(question: Question, address: Address): boolean {
  return question.about === "service" || familyOf(address) === familyOf(question.address);
}
