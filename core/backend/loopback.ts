/** Loopback addresses that Services are served on instead of their ClusterIPs, with the first ones of each list. */
export interface LoopbackState {
  /** `127.64.0.0/16` */
  readonly range: string;
  /** Path of the file with their names, in the format of hosts(5); absent if there is none. */
  readonly hostsFile?: string;
  /** Why the file could not be written the last time; absent if it was. */
  readonly hostsFileProblem?: string;
  readonly served: { readonly total: number; readonly first: readonly LoopbackService[] };
  /** Services that are not served on a loopback address, or not with all of their ports. */
  readonly notServed: { readonly total: number; readonly first: readonly NotServedOnLoopback[] };
}

export interface LoopbackService {
  /** `default/web` */
  readonly service: string;
  readonly clusterIP: string;
  readonly address: string;
  /** The ports that are served: `80/TCP`. */
  readonly ports: readonly string[];
}

export interface NotServedOnLoopback extends Pick<LoopbackService, "service" | "clusterIP"> {
  /** A sentence without a period. */
  readonly reason: string;
}
