import type { ProxyConfig } from "../../config/config.ts";
import { forQuestion } from "../../explain/asked_client.ts";
import { describePod, type FoundPod, type PodName, type PodSearch } from "../../explain/pod_client.ts";
import type { Question } from "../../explain/question.ts";
import { clusterAccess } from "../../kube/access/access.ts";
import { ApiError } from "../../kube/api/error.ts";
import { readObject } from "../../kube/api/read_object.ts";
import type { Address } from "../../net/address.ts";
import type { Log } from "../../observe/log.ts";
import { UserError } from "../../user_error.ts";
import { VERSION } from "../../version.ts";

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

/**
 * Returns the addresses of the pod that the question can be about: at most one of each family.
 * @throws UserError if there is none.
 */
export function addressesOfPod(
  question: Question,
  wanted: PodName,
  { addresses }: FoundPod,
): readonly Address[] {
  const found = forQuestion(question, addresses);
  if (found === undefined) {
    throw new UserError(
      `--from ${describePod(wanted)}: the pod has no address of the family of the question`,
    );
  }
  return found;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
