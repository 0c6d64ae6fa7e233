import type { Cluster, KubernetesObject } from "../cluster.ts";

/** A namespace with objects of a test. It is deleted at the end. */
export class Namespace implements AsyncDisposable {
  private constructor(private readonly cluster: Cluster, readonly name: string) {}

  static async create(
    cluster: Cluster,
    name: string,
    objects: readonly KubernetesObject[],
  ): Promise<Namespace> {
    await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
    const namespace = new Namespace(cluster, name);
    try {
      // Pods are rejected until their service account exists.
      await cluster.kubectl(
        "--namespace",
        name,
        "wait",
        "--for=create",
        "serviceaccount/default",
        "--timeout=60s",
      );
      await cluster.apply(...objects);
      return namespace;
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.kubectl("delete", "namespace", this.name, "--wait");
  }
}
