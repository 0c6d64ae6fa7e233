import { besideControlPlane } from "./support/beside_control_plane.ts";

Deno.test(
  besideControlPlane(
    "dist/proxy follows a real kube-apiserver and etcd through outages",
    "built_proxy",
  ),
);
