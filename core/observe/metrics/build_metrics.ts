import type { FeatureGate } from "../../config/feature_gates.ts";
import { KUBERNETES, VERSION } from "../../version.ts";
import type { MetricRegistry } from "./registry/registry.ts";

/** Adds what this program is and which feature gates are on, under the names of k8s.io/component-base. */
export function addBuildMetrics(registry: MetricRegistry, gates: readonly FeatureGate[]): void {
  const { major, minor } = KUBERNETES;
  const info = {
    major: String(major),
    minor: String(minor),
    // The alert KubeVersionMismatch of kubernetes-mixin compares what is before the second dot.
    git_version: `v${major}.${minor}.0+proxy.${VERSION}`,
    git_commit: "",
    git_tree_state: "",
    build_date: "",
    go_version: "",
    compiler: `deno ${Deno.version.deno}`,
    platform: `linux/${Deno.build.arch === "aarch64" ? "arm64" : "amd64"}`,
  };
  registry.gauge(
    {
      name: "kubernetes_build_info",
      help: "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit, " +
        "git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform " +
        "on which it is running.",
    },
    ...Object.keys(info),
  ).set(info, 1);
  const features = registry.gauge(
    {
      name: "kubernetes_feature_enabled",
      help: "[BETA] This metric records the data about the stage and enablement of a k8s feature.",
    },
    "name",
    "stage",
  );
  for (const { name, stage, enabled } of gates) features.set({ name, stage }, enabled ? 1 : 0);
}
