import type { ObjectKind } from "../../objects/objects.ts";

/** A collection of the API that is listed and watched. */
export interface Resource {
  readonly kind: ObjectKind;
  /** Plural name, as in RBAC rules. */
  readonly plural: string;
  readonly apiGroup: string;
  readonly path: string;
  readonly labelSelector: string;
  readonly fieldSelector: string;
  /** True when the proxy cannot work without it. Old clusters and narrow roles may lack the others. */
  readonly isRequired: boolean;
}

export interface WatchOptions {
  /** The own Node; "" to watch none. */
  readonly nodeName: string;
  /** False when the feature gate MultiCIDRServiceAllocator is off. */
  readonly watchServiceCidrs: boolean;
}

/** Collections to watch and their selectors: docs/behaviour.md §1.1. */
export function watchedResources({ nodeName, watchServiceCidrs }: WatchOptions): readonly Resource[] {
  const node: Resource = {
    kind: "Node",
    plural: "nodes",
    apiGroup: "",
    path: "/api/v1/nodes",
    labelSelector: "",
    fieldSelector: `metadata.name=${nodeName}`,
    isRequired: false,
  };
  return [
    ...(nodeName === "" ? [] : [node]),
    ...(watchServiceCidrs ? [SERVICE_CIDRS] : []),
    ...SERVICES_AND_ENDPOINTS,
  ];
}

const SERVICE_CIDRS: Resource = {
  kind: "ServiceCIDR",
  plural: "servicecidrs",
  apiGroup: "networking.k8s.io",
  path: "/apis/networking.k8s.io/v1/servicecidrs",
  labelSelector: "",
  fieldSelector: "",
  isRequired: false,
};

const SERVICES_AND_ENDPOINTS: readonly Resource[] = [
  {
    kind: "Service",
    plural: "services",
    apiGroup: "",
    path: "/api/v1/services",
    labelSelector: "!service.kubernetes.io/service-proxy-name",
    // Servers before 1.36 reject it; it is left out then, because the parser ignores headless services anyway.
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
