import type { ProxyConfig } from "../../config/config.ts";
import type { Knowledge } from "../../explain/knowledge.ts";
import {
  describePod,
  type FoundPod,
  parsePodName,
  type PodName,
  type PodSearch,
} from "../../explain/pod_client.ts";
import type { Question } from "../../explain/question.ts";
import { clusterAccess } from "../../kube/access/access.ts";
import { ApiError } from "../../kube/api/error.ts";
import { readObject } from "../../kube/api/read_object.ts";
import { type Address, familyOf, isLoopback, parseAddress } from "../../net/address.ts";
import type { Log } from "../../observe/log.ts";
import { UserError } from "../../user_error.ts";
import { VERSION } from "../../version.ts";

/** The client that a question is about; undefined for every kind of client. */
export type AskedClient = Address | "node" | PodName | undefined;

/** @throws UserError if the text names no client, or one of the other family. */
export function parseClient(text: string, question: Question): AskedClient {
  if (text === "") return undefined;
  if (text === "node") return text;
  const pod = parsePodName(text, question.about === "service" ? question.namespace : "");
  if (pod !== undefined) return pod;
  const address = parseAddress(text);
  if (address === undefined) {
    throw new UserError(`--from ${JSON.stringify(text)}: must be node, an IP address or pod/NAMESPACE/NAME`);
  }
  if (question.about === "address" && familyOf(question.address) !== familyOf(address)) {
    throw new UserError(`--from ${text}: must be of the same family as the address`);
  }
  return address;
}

/** The first address of this node of the family of the question. */
export function nodeAddress(question: Question, { traced }: Knowledge): Address {
  const address = traced.addresses.find((address) => !isLoopback(address) && isOfFamily(question, address));
  if (address === undefined) throw new UserError("--from node: this node has no address of the family");
  return address;
}

/**
 * Finds a pod: in the objects that were read, or else by the API server, which may not let this proxy read pods.
 * @throws UserError that says what is missing.
 */
export async function findPod(
  { source }: ProxyConfig,
  log: Log,
  search: PodSearch,
): Promise<FoundPod> {
  const { wanted } = search;
  if (search.found !== undefined) return search.found;
  const unnamed = `--from ${describePod(wanted)}: no EndpointSlice has the pod as an endpoint`;
  const advice = `give the address of the pod: kubectl -n ${wanted.namespace} get pod ${wanted.name} -o wide`;
  if (source.kind === "manifests") throw new UserError(`${unnamed}, and there is no such Pod; ${advice}`);
  const path = `/api/v1/namespaces/${wanted.namespace}/pods/${wanted.name}`;
  let answer: unknown;
  try {
    answer = await readObject(clusterAccess(source), path, { userAgent: `proxy/${VERSION}`, log });
  } catch (error) {
    throw new UserError(`${unnamed}, and the API server does not answer: ${messageOf(error)}; ${advice}`);
  }
  if (answer instanceof ApiError) {
    const more = answer.status === 403 ? ", or a --kubeconfig that may get pods" : "";
    throw new UserError(`${unnamed}, and the API server answers ${answer.message}; ${advice}${more}`);
  }
  search.read({ kind: "Pod", ...Object(answer) });
  if (search.found === undefined) {
    throw new UserError(`--from ${describePod(wanted)}: the pod has no address yet`);
  }
  return search.found;
}

/** @throws UserError if the pod has no address of the family of the question. */
export function addressOfPod(question: Question, wanted: PodName, { addresses }: FoundPod): Address {
  const address = addresses.find((address) => isOfFamily(question, address));
  if (address === undefined) {
    throw new UserError(
      `--from ${describePod(wanted)}: the pod has no address of the family of the question`,
    );
  }
  return address;
}

function isOfFamily(question: Question, address: Address): boolean {
  return question.about === "service" || familyOf(address) === familyOf(question.address);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
