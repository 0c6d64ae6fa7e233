/** How patient the API source is; all in milliseconds. */
export interface ApiTiming {
  /** For a connection and the headers of an answer; doubled after each time that it was not enough. */
  readonly answer: number;
  readonly longestAnswer: number;
  /** For the next object while listing. */
  readonly listSilence: number;
  /** For the next event of a watch. The server sends a bookmark every minute when there is none. */
  readonly watchSilence: number;
  /** A connection that was silent for so long is asked for a sign of life. */
  readonly quietConnection: number;
  /** For that sign of life. */
  readonly checkAnswer: number;
  /** How long one watch lasts, chosen between the two, so that nodes do not come back together. */
  readonly shortestWatch: number;
  readonly longestWatch: number;
  /** Between attempts: the most after the first failure, and after many. */
  readonly firstRetry: number;
  readonly longestRetry: number;
  /** Until an optional collection that the server does not have, or not for us, is asked for again. */
  readonly unavailableRetry: number;
}

export const apiTiming: ApiTiming = {
  answer: 10_000,
  longestAnswer: 60_000,
  listSilence: 30_000,
  watchSilence: 180_000,
  // As client-go's HTTP/2 pings: a connection that leads nowhere is noticed after 45 s.
  quietConnection: 30_000,
  checkAnswer: 15_000,
  shortestWatch: 300_000,
  longestWatch: 600_000,
  firstRetry: 100,
  longestRetry: 10_000,
  unavailableRetry: 300_000,
};
