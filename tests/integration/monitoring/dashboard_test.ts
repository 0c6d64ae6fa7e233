import { besideControlPlane } from "../support/beside_control_plane.ts";

Deno.test(besideControlPlane(
  "a real Prometheus has data for every query of the dashboard and of the alerts",
  "monitoring",
));
