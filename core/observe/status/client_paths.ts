import type { Frontend, Route, ServicePortPlan } from "../../plan/plan.ts";

/** The way of one kind of client to the endpoints: what the picture of a service draws. */
export interface ClientPath {
  readonly clients: "pods and the node" | "this node and its pods" | "outside the cluster" | "everyone";
  /** Kinds of frontends that these clients use. */
  readonly frontends: readonly Frontend["kind"][];
  readonly policy: "Cluster" | "Local";
  /** "cluster" and "local" are the lists of endpoints that new connections are balanced over. */
  readonly result: "cluster" | "local" | "reject" | "drop";
  /** Number of endpoints in the list; 0 for connections that are rejected or dropped. */
  readonly endpoints: number;
  /** Sources that endpoints see as an address of the node. */
  readonly masquerades: "none" | "all" | "sources outside of this node" | "the node";
}

/** Derives the ways to a service port from its plan (docs/behaviour.md §3, §4.3). */
export function clientPaths(plan: ServicePortPlan): readonly ClientPath[] {
  const external = kindsOf(plan).filter((kind) => kind !== "ClusterIP");
  return [
    ...kindsOf(plan).includes("ClusterIP")
      ? [routePath("pods and the node", ["ClusterIP"], plan.internal, plan)]
      : [],
    ...external.length === 0 ? [] : externalPaths(external, plan),
  ];
}

function kindsOf({ frontends }: ServicePortPlan): readonly Frontend["kind"][] {
  return [...new Set(frontends.map(({ kind }) => kind))];
}

function externalPaths(frontends: ClientPath["frontends"], plan: ServicePortPlan): readonly ClientPath[] {
  const { external, localEndpoints, clusterEndpoints } = plan;
  if (external.verdict !== "local-external") return [routePath("everyone", frontends, external, plan)];
  const hasLocal = localEndpoints.length > 0;
  return [
    {
      clients: "outside the cluster",
      frontends,
      policy: "Local",
      result: hasLocal ? "local" : "drop",
      endpoints: localEndpoints.length,
      masquerades: "none",
    },
    {
      clients: "this node and its pods",
      frontends,
      policy: "Local",
      result: "cluster",
      endpoints: clusterEndpoints.length,
      masquerades: "the node",
    },
  ];
}

function routePath(
  clients: ClientPath["clients"],
  frontends: ClientPath["frontends"],
  route: Route,
  { localEndpoints, clusterEndpoints }: ServicePortPlan,
): ClientPath {
  if (route.verdict === "balance") {
    const isLocal = route.to === "local";
    return {
      clients,
      frontends,
      policy: isLocal ? "Local" : "Cluster",
      result: route.to,
      endpoints: (isLocal ? localEndpoints : clusterEndpoints).length,
      masquerades: route.masquerade === "all" ? "all" : "sources outside of this node",
    };
  }
  const isDropped = route.verdict === "drop";
  return {
    clients,
    frontends,
    policy: isDropped ? "Local" : "Cluster",
    result: isDropped ? "drop" : "reject",
    endpoints: 0,
    masquerades: "none",
  };
}
