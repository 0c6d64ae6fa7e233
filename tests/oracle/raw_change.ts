import fc from "fast-check";
import { anyRawCluster } from "./raw_cluster.ts";
import type { RawCluster, RawPacket, RawService, RawSlice } from "./raw_objects.ts";
import { anyRawPacket } from "./raw_packet.ts";

/** Changes of the services and endpoint slices of a cluster, and packets that come afterwards. */
export interface RawChange {
  readonly before: RawCluster;
  /** Has the configuration, the nodes and the addresses of `before`. */
  readonly after: RawCluster;
  readonly packets: readonly RawPacket[];
}

const PACKETS = 10;

/**
 * Half of the changes replace everything. The others change a few fields, as most changes do: what a backend
 * keeps from the state before depends on what stays the same.
 */
export const anyRawChange: fc.Arbitrary<RawChange> = fc.tuple(anyRawCluster, anyRawCluster)
  .chain(([before, other]) =>
    fc.oneof(fc.constant(other), partOf(before, other)).map(({ services, slices }) => ({
      before,
      after: { ...before, services, slices },
    }))
  )
  .chain(({ before, after }) =>
    fc.record({
      before: fc.constant(before),
      after: fc.constant(after),
      packets: fc.array(anyRawPacket(after), { minLength: PACKETS, maxLength: PACKETS }),
    })
  );

/** Services and slices of `before`, with some fields and endpoints of those of `other`. */
function partOf(
  before: RawCluster,
  other: RawCluster,
): fc.Arbitrary<Pick<RawCluster, "services" | "slices">> {
  return fc.record({
    services: fc.tuple(...before.services.map((service) => changedService(service, other.services))),
    slices: fc.tuple(...before.slices.map((slice) => changedSlice(slice, other.slices))),
  });
}

function changedService(service: RawService, others: readonly RawService[]): fc.Arbitrary<RawService> {
  const { spec } = service;
  return fc.oneof(
    fc.constant(service),
    fc.tuple(fc.constantFrom(...others), fc.constantFrom(...FIELDS)).map(([other, field]): RawService => {
      if (field === "status") return withField(service, field, other.status);
      if (field !== "port") return { ...service, spec: withField(spec, field, other.spec[field]) };
      const ports = spec.ports.map((port, at) => ({
        ...port,
        port: other.spec.ports[at]?.port ?? port.port,
      }));
      return { ...service, spec: { ...spec, ports } };
    }),
  );
}

const FIELDS = [
  "port",
  "ports",
  "externalIPs",
  "loadBalancerSourceRanges",
  "sessionAffinity",
  "sessionAffinityConfig",
  "externalTrafficPolicy",
  "internalTrafficPolicy",
  "status",
] as const;

/** Leaves the field out if it is undefined, as JSON does. */
function withField<T>(of: T, field: keyof T, value: unknown): T {
  return JSON.parse(JSON.stringify({ ...of, [field]: value }));
}

function changedSlice(slice: RawSlice, others: readonly RawSlice[]): fc.Arbitrary<RawSlice> {
  const similar = others.filter(({ addressType }) => addressType === slice.addressType);
  const changed = similar.map(({ endpoints }) => ({ ...slice, endpoints }));
  return fc.constantFrom(slice, slice, slice, ...changed);
}
