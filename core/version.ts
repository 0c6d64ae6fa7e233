import project from "../deno.json" with { type: "json" };

/** The release this is, from the one place that says so. */
export const VERSION: string = project.version;

/** The Kubernetes release whose kube-proxy this replaces. */
export const KUBERNETES = { major: 1, minor: 37 } as const;
