/** A part of a service port that a mode does not serve. The texts are for operators. */
export interface Limitation {
  /** A name for programs: "sctp-port-differs". */
  readonly cause: string;
  /** A sentence without a period that continues "Service port NAME:". */
  readonly text: string;
  /** The remedy. */
  readonly advice: string;
}
