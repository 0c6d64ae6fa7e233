import type { ConfigDocument, ModeSections } from "../config/document/document.ts";
import type { FieldReader } from "../config/document/field_reader.ts";
import type { FlagTable, ValuesOf } from "../config/flags/flag.ts";
import type { Limitation } from "../plan/limitation.ts";
import type { ServicePortPlan } from "../plan/plan.ts";
import type { Backend } from "./contract.ts";

/** The traits of a mode that core knows. `backends/registry.ts` lists the modes of the program. */
export interface ModeTraits {
  /** Value of --proxy-mode. */
  readonly name: string;
  /** True when `--proxy-mode=auto` may select the mode. */
  readonly isAutomatic: boolean;
  /** Flags that only this mode reads. */
  readonly flags: FlagTable;
  readonly planning: PlanningTraits;
  readonly sections: ModeSections;
  /** Counters of failed syncs: kube-proxy has other names in each mode (docs/behaviour.md §8). */
  readonly failureMetrics: readonly FailureMetric[];
  /** The feature gate that has to be on for this mode; undefined for none. */
  readonly featureGate?: string;
  /**
   * The feature gate with which the mode serves TCP node ports on loopback addresses from this process (see
   * `Backend.serveLocalhostNodePorts`); undefined for none.
   */
  readonly localhostGate?: string;
  /** Returns the parts of a plan that the mode does not serve; undefined if it serves everything. */
  readonly limitationsOf?: (plan: ServicePortPlan) => readonly Limitation[];
  /** Set if connections end at this process, which opens others to endpoints. */
  readonly relays?: true;
  /** Network device whose addresses are those of services, not of the node; undefined for none. */
  readonly serviceDevice?: string;
}

/** The needs of a mode in planning. */
export interface PlanningTraits {
  /**
   * True when the mode ends TCP connections whose endpoint is gone. Then plans list all endpoints that a connection
   * may stay with (see `PlanContext.endsConnections`).
   */
  readonly endsTcpConnections: boolean;
  /** True when the mode serves node ports address by address and so needs the addresses of all interfaces. */
  readonly listsInterfaceAddresses: boolean;
  /** The node-port addresses when --nodeport-addresses is not set (docs/behaviour.md §4.4). */
  readonly defaultNodePortAddresses: "primary" | "all";
  /** True when node ports can answer on IPv4 loopback addresses (docs/behaviour.md §4.5). */
  readonly localhostNodePorts: boolean;
}

export interface FailureMetric {
  /** Without the prefix `kubeproxy_`. */
  readonly name: `${string}_total`;
  readonly help: string;
  /** The syncs whose failures are counted. */
  readonly counts: "all" | "partial" | "none";
}

/** A mode of the program: its traits, and how to configure it. */
export interface Mode extends ModeTraits {
  readonly addFlags?: AddFlags;
  configure(source: OptionSource): ConfiguredMode;
}

/** A mode whose options are read. */
export interface ConfiguredMode extends ModeTraits {
  /** Opens nothing before the backend is used. */
  create(): Backend;
}

/** The modes of the program. The first one is the default. */
export type Modes = readonly [Mode, ...Mode[]];

/** Sets the fields of the document that the mode's own flags stand for. */
export type AddFlags = (document: ConfigDocument, valuesOf: FlagReader) => ConfigDocument;

export type FlagReader = <Flags extends FlagTable>(flags: Flags) => ValuesOf<Flags>;

/** The source that a mode reads its options from. */
export interface OptionSource {
  readonly document: ConfigDocument;
  /** Returns the values of a mode's own flags. */
  readonly valuesOf: FlagReader;
  /** The section `conntrack`, parsed. */
  readonly conntrackTimeouts: ConntrackTimeouts;
  /** Collects mistakes. The mistakes of a mode that is not selected are dropped: its options only serve cleanup. */
  readonly read: FieldReader;
}

/** Timeouts of the section `conntrack` in milliseconds. 0 means that the kernel's own value is used. */
export interface ConntrackTimeouts {
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

export interface ModeDefinition<Name extends string, Options> extends ModeTraits {
  readonly name: Name;
  readonly addFlags?: AddFlags;
  readOptions(source: OptionSource): Options;
  /** Returns other needs than `planning`, which some options have. */
  planningOf?(options: Options): PlanningTraits;
  create(options: Options): Backend;
}

/** Makes a mode of its definition. Core never sees the type of the options. */
export function defineMode<const Name extends string, Options>(
  definition: ModeDefinition<Name, Options>,
): Mode & { readonly name: Name } {
  const { readOptions, planningOf, create, ...traits } = definition;
  return {
    ...traits,
    configure(source) {
      const options = readOptions(source);
      const planning = planningOf?.(options) ?? traits.planning;
      return { ...traits, planning, create: () => create(options) };
    },
  };
}
