import { besideControlPlane } from "./support/beside_control_plane.ts";

Deno.test(besideControlPlane("the source keeps up with a real kube-apiserver and etcd", "real_apiserver"));
