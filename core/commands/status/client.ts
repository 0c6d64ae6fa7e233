import { formatListenAddress, type ListenAddress } from "../../config/document/listen_address.ts";
import { UserError } from "../../user_error.ts";
import { getJson } from "../local_http.ts";

/** Asks the running proxy by its API. */
export class ProxyClient {
  readonly #address: ListenAddress;

  /** @param address the one that the proxy serves metrics on; undefined if it serves none. */
  constructor(address: ListenAddress | undefined) {
    if (address === undefined) {
      throw new UserError(
        '--metrics-bind-address "": the proxy serves no status then; start it with an address, such as 127.0.0.1:10249, ' +
          "and give this command the same one",
      );
    }
    this.#address = address;
  }

  /**
   * @param path after /api/v1/, with its query.
   * @throws UserError that says why there is no answer, and what to do.
   */
  async ask<Answer>(path: string): Promise<Answer> {
    try {
      return await getJson(this.#address, `/api/v1/${path}`) as Answer;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new UserError(`no proxy answers on ${formatListenAddress(this.#address)}: ${reason}. ${ADVICE}`, {
        cause,
      });
    }
  }
}

const ADVICE =
  "Check that it runs and that no other program serves this address, give the --metrics-bind-address or --config that " +
  "it was started with, and run this in its network namespace";
