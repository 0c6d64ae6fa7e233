import { get } from "node:http";
import type { ListenAddress } from "../config/document/listen_address.ts";
import { familyOf, formatAddress, isUnspecified, LOOPBACK, parseAddress } from "../net/address.ts";

/** Time for the process to answer. It answers within milliseconds unless the node is overloaded. */
const ANSWER_MS = 3000;
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Asks the running proxy of this node over HTTP.
 * @param address where it listens; the unspecified address stands for the loopback address.
 * @returns the decoded JSON.
 * @throws Error that says why there is no answer.
 */
export function getJson(address: ListenAddress, path: string, answerMs = ANSWER_MS): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  // No fetch(), because it would ask the HTTP proxy of the environment.
  const request = get({ host: reachable(address.hostname), port: address.port, path }, (response) => {
    const { statusCode = 0 } = response;
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (part: string) => {
      text += part;
      if (text.length > MAX_BYTES) request.destroy(new Error("the answer is too long"));
    });
    response.on("end", () => {
      if (statusCode !== 200) return reject(new Error(`it answers with status ${statusCode}`));
      try {
        resolve(JSON.parse(text));
      } catch {
        reject(new Error("its answer is not JSON"));
      }
    });
    response.on("error", reject);
  });
  const timer = setTimeout(
    () => request.destroy(new Error(`it does not answer within ${answerMs / 1000} s`)),
    answerMs,
  );
  request.on("error", reject);
  return promise.finally(() => {
    clearTimeout(timer);
    request.destroy();
  });
}

function reachable(hostname: string): string {
  const address = parseAddress(hostname);
  return address !== undefined && isUnspecified(address)
    ? formatAddress(LOOPBACK[familyOf(address)])
    : hostname;
}
