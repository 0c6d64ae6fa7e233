import type { RawObject } from "../../core/kube/raw_objects.ts";
import type { KeyPair } from "../../core/kube/connection/test_certificates.ts";
import type { ControlPlane } from "./control_plane.ts";
import type { Pods } from "./pods.ts";

/** Environment shared by all cases: a control plane, and pods that services can select. */
export interface Setting {
  readonly plane: ControlPlane;
  readonly pods: Pods;
  /** A client certificate that the API server accepts. */
  readonly client: KeyPair;
}

/** A case. It uses service addresses of its own, and may leave objects and rules behind. */
export interface Case {
  readonly name: string;
  readonly test: (setting: Setting) => Promise<void>;
}

/** A Service with this address. */
export function service(name: string, clusterIP: string, port = 80): RawObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { clusterIP, ports: [{ port, targetPort: 8080 }] },
  };
}
