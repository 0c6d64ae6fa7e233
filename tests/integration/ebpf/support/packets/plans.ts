import { planOf } from "../../../../backends/plans.ts";

/** A ClusterIP and a NodePort for TCP in each family, with the endpoint on this node. */
export const nodePort = planOf({
  nodePort: 30080,
  clusterIP: "10.96.0.10:80",
  endpoints: ["10.1.0.1:8080@here"],
});
export const nodePort6 = planOf({
  nodePort: 30080,
  family: "IPv6",
  endpoints: ["[fd00:1::1]:8080@here"],
});

/** A ClusterIP for TCP in each family. */
export const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080"] });
export const web6 = planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] });

/** A ClusterIP for UDP in each family. */
export const dns = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.10:53",
  endpoints: ["10.1.0.1:5353"],
});
export const dns6 = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "[fd00:96::10]:53",
  endpoints: ["[fd00:1::1]:5353"],
});
