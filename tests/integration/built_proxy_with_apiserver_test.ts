import { namespacedCases } from "./kube/namespaced_cases.ts";

namespacedCases("dist/proxy follows a real kube-apiserver and etcd, whatever befalls them", "built_proxy.ts");
