/** Node ports that this process could not listen on, with the first ones. Each is tried again every few seconds. */
export interface UnservedNodePorts {
  readonly total: number;
  readonly first: readonly UnservedNodePort[];
}

export interface UnservedNodePort {
  /** `default/web:http` */
  readonly servicePort: string;
  readonly port: number;
  /** `listen on 0.0.0.0:30080/TCP: EADDRINUSE …` */
  readonly reason: string;
}
