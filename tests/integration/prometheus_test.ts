import { besideControlPlane } from "./support/beside_control_plane.ts";

Deno.test(
  besideControlPlane("a real Prometheus has the series of the dashboards of kubernetes-mixin", "prometheus"),
);
