import { besideControlPlane } from "./support/beside_control_plane.ts";

Deno.test(besideControlPlane(
  "dist/proxy follows its Node object in a real kube-apiserver without ending",
  "node_changes",
));
