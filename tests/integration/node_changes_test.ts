import { namespacedCases } from "./kube/namespaced_cases.ts";

namespacedCases(
  "dist/proxy follows its Node object in a real kube-apiserver without ending",
  "node_changes.ts",
);
