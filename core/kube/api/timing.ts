/** Timeouts and delays of the API source, in milliseconds. */
export interface ApiTiming {
  /** Timeout for a connection and the response headers; doubled after each timeout up to `maxAnswerMs`. */
  readonly answerMs: number;
  readonly maxAnswerMs: number;
  /** Timeout for the next bytes of a list. */
  readonly listSilenceMs: number;
  /** Timeout for the next event of a watch. The server sends a bookmark every minute when nothing changes. */
  readonly watchSilenceMs: number;
  /** A connection that was silent for this long is probed. */
  readonly quietConnectionMs: number;
  /** Timeout for the response to a probe. */
  readonly checkAnswerMs: number;
  /** Duration of a watch: a random value between the two, so that nodes do not reconnect in step. */
  readonly minWatchMs: number;
  readonly maxWatchMs: number;
  /** Maximum delay before a retry: after the first failure, and after many. */
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  /** Deadline for reading a file of the credentials. */
  readonly fileMs: number;
  /** Deadline for a run of a credential plugin. */
  readonly pluginMs: number;
  /** Delay before an optional collection is requested again that the server lacks or that RBAC forbids. */
  readonly unavailableRetryMs: number;
}

export const API_TIMING: ApiTiming = {
  answerMs: 10_000,
  maxAnswerMs: 60_000,
  listSilenceMs: 30_000,
  watchSilenceMs: 180_000,
  // Same as client-go's HTTP/2 pings: a dead connection is detected after 45 s.
  quietConnectionMs: 30_000,
  checkAnswerMs: 15_000,
  minWatchMs: 300_000,
  maxWatchMs: 600_000,
  firstRetryMs: 100,
  maxRetryMs: 10_000,
  fileMs: 10_000,
  pluginMs: 60_000,
  unavailableRetryMs: 300_000,
};
