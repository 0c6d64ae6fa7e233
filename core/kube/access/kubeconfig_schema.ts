import * as v from "valibot";

/** Fields of a kubeconfig that are used (k8s.io/client-go/tools/clientcmd/api/v1). Other fields are ignored. */

const text = v.nullish(v.string(), "");
const flag = v.nullish(v.boolean(), false);
const texts = v.nullish(v.array(v.string()), []);

const clusterSchema = v.object({
  "server": text,
  "certificate-authority": text,
  "certificate-authority-data": text,
  "insecure-skip-tls-verify": flag,
  "tls-server-name": text,
  "proxy-url": text,
  "extensions": v.nullish(v.array(v.object({ name: v.string(), extension: v.unknown() })), []),
});

const execSchema = v.object({
  "apiVersion": v.picklist(["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]),
  "command": v.pipe(v.string(), v.nonEmpty("is empty")),
  "args": texts,
  "env": v.nullish(v.array(v.object({ name: v.string(), value: text })), []),
  "installHint": text,
  "provideClusterInfo": flag,
  "interactiveMode": v.nullish(v.picklist(["Never", "IfAvailable", "Always", ""]), ""),
});

const userSchema = v.object({
  "token": text,
  "tokenFile": text,
  "username": text,
  "password": text,
  "client-certificate": text,
  "client-certificate-data": text,
  "client-key": text,
  "client-key-data": text,
  "as": text,
  "as-uid": text,
  "as-groups": texts,
  "as-user-extra": v.nullish(v.record(v.string(), v.array(v.string())), {}),
  "auth-provider": v.nullish(v.object({ name: text })),
  "exec": v.nullish(execSchema),
});

const contextSchema = v.object({ cluster: text, user: text });

// A missing name is the name "", as in client-go.
export const kubeconfigSchema = v.object({
  "kind": v.nullish(v.picklist(["Config", ""]), ""),
  "current-context": text,
  "clusters": v.nullish(v.array(v.object({ name: text, cluster: v.nullish(clusterSchema, {}) })), []),
  "users": v.nullish(v.array(v.object({ name: text, user: v.nullish(userSchema, {}) })), []),
  "contexts": v.nullish(v.array(v.object({ name: text, context: v.nullish(contextSchema, {}) })), []),
});

export type Kubeconfig = v.InferOutput<typeof kubeconfigSchema>;
export type KubeconfigCluster = v.InferOutput<typeof clusterSchema>;
export type KubeconfigUser = v.InferOutput<typeof userSchema>;
export type KubeconfigContext = v.InferOutput<typeof contextSchema>;

/** A cluster without any field, for --master. */
export const NO_CLUSTER: KubeconfigCluster = v.parse(clusterSchema, {});
