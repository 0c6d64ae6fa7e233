import { type Address, familyOf, parseAddress } from "../net/address.ts";
import { FAMILIES } from "../net/protocol.ts";
import { ownAddress } from "./clients.ts";
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
    return forQuestion(question, [address]) === undefined
      ? { problem: "must be of the same family as the address" }
      : { is: "address", address };
  }
  // Not a Service in a namespace "pod": the namespace of the pod is missing.
  const asked = text.startsWith("pod/") ? undefined : parseQuestion(text);
  if (asked !== undefined && !("problem" in asked) && asked.about === "service" && asked.port === "") {
    return { is: "pod of service", service: `${asked.namespace}/${asked.name}` };
  }
  return { problem: "must be node, an IP address, pod/NAMESPACE/NAME or NAMESPACE/SERVICE" };
}

/**
 * Finds the addresses of a client: those of the node, or of the first endpoints of a Service.
 * @returns at most one of each family, and only those of the question's family if it is about an address; undefined for
 * every kind of client; or the problem of a client without such an address.
 */
export function addressesOfClient(
  client: KnownClient,
  question: Question,
  { traced, store }: Pick<Knowledge, "traced" | "store">,
): readonly Address[] | NoQuestion | undefined {
  switch (client.is) {
    case "every kind of client":
      return undefined;
    case "address":
      return [client.address];
    case "this node": {
      const own = FAMILIES.flatMap((family) => ownAddress(traced.addresses, family) ?? []);
      return forQuestion(question, own) ?? { problem: "this node has no address of the family" };
    }
    case "pod of service": {
      const stored = store.get(client.service);
      if (stored === undefined) return { problem: `there is no Service ${client.service}` };
      const endpoints = stored.slices.flatMap(({ endpoints }) => endpoints);
      const pods = [...endpoints.filter(({ traits }) => traits.ready), ...endpoints];
      return forQuestion(question, pods.map(({ address }) => address)) ?? {
        problem: `Service ${client.service} has no endpoint${
          question.about === "address" ? " of the family of the question" : ""
        }`,
      };
    }
  }
}

/**
 * Selects the addresses of a client that a question can be about: the first one of each family. One Service can have
 * addresses of both families, and then a client uses both.
 * @returns undefined if there is none.
 */
export function forQuestion(
  question: Question,
  addresses: readonly Address[],
): readonly Address[] | undefined {
  const families = question.about === "address" ? [familyOf(question.address)] : FAMILIES;
  const firsts = families.flatMap((family) => addresses.find((one) => familyOf(one) === family) ?? []);
  return firsts.length === 0 ? undefined : firsts;
}
