import type { ModeTraits } from "../backend/mode.ts";
import type { ConfigDocument } from "./document/document.ts";

/** A feature gate, its stage as Kubernetes writes it ("" for GA), and whether it is on. */
export interface FeatureGate {
  readonly name: string;
  readonly stage: "" | "ALPHA" | "BETA" | "DEPRECATED";
  readonly enabled: boolean;
}

/** Gates of kube-proxy 1.37 that have an effect here, or whose present setting changes nothing here. */
const GATES: readonly FeatureGate[] = [
  { name: "ComponentFlagz", stage: "BETA", enabled: true },
  { name: "ComponentStatusz", stage: "BETA", enabled: true },
  { name: "MultiCIDRServiceAllocator", stage: "", enabled: true },
  { name: "NFTablesNetlink", stage: "BETA", enabled: true },
  { name: "NativeHistograms", stage: "BETA", enabled: true },
];

/** The known gates as the document sets them. */
export function featureGates(
  { featureGates }: Pick<ConfigDocument, "featureGates">,
  modes: readonly Pick<ModeTraits, "featureGate" | "localhostGate">[],
): readonly FeatureGate[] {
  const ofModes = modes.flatMap(({ featureGate, localhostGate }): FeatureGate[] => [
    // kube-proxy has a gate for a whole mode when the mode is to go away.
    ...(featureGate === undefined
      ? []
      : [{ name: featureGate, stage: "DEPRECATED" as const, enabled: true }]),
    ...(localhostGate === undefined
      ? []
      : [{ name: localhostGate, stage: "ALPHA" as const, enabled: false }]),
  ]);
  return [...GATES, ...ofModes].map((gate) => ({
    ...gate,
    enabled: featureGates[gate.name] ?? gate.enabled,
  }));
}
