import { namespacedCases } from "./kube/namespaced_cases.ts";

namespacedCases("the source keeps up with a real kube-apiserver and etcd", "real_apiserver.ts");
