import type { ObjectKind } from "../../objects/objects.ts";

/** A collection of the API that we list and watch. */
export interface Resource {
  readonly kind: ObjectKind;
  /** As in RBAC rules. */
  readonly plural: string;
  readonly apiGroup: string;
  readonly path: string;
  readonly labelSelector: string;
  readonly fieldSelector: string;
  /** Without it there is no proxying; the others may be missing from old clusters and narrow roles. */
  readonly isRequired: boolean;
}

/** What is watched, and which part of it: docs/behaviour.md §1.1. No own node when `nodeName` is "". */
export function watchedResources(nodeName: string): readonly Resource[] {
  const node: Resource = {
    kind: "Node",
    plural: "nodes",
    apiGroup: "",
    path: "/api/v1/nodes",
    labelSelector: "",
    fieldSelector: `metadata.name=${nodeName}`,
    isRequired: false,
  };
  return nodeName === "" ? everywhere : [node, ...everywhere];
}

const everywhere: readonly Resource[] = [
  {
    kind: "ServiceCIDR",
    plural: "servicecidrs",
    apiGroup: "networking.k8s.io",
    path: "/apis/networking.k8s.io/v1/servicecidrs",
    labelSelector: "",
    fieldSelector: "",
    isRequired: false,
  },
  {
    kind: "Service",
    plural: "services",
    apiGroup: "",
    path: "/api/v1/services",
    labelSelector: "!service.kubernetes.io/service-proxy-name",
    // Refused by servers before 1.36, and then left out: the parser ignores headless services anyway.
    fieldSelector: "spec.clusterIP!=None",
    isRequired: true,
  },
  {
    kind: "EndpointSlice",
    plural: "endpointslices",
    apiGroup: "discovery.k8s.io",
    path: "/apis/discovery.k8s.io/v1/endpointslices",
    labelSelector: "!service.kubernetes.io/headless",
    fieldSelector: "",
    isRequired: true,
  },
];
