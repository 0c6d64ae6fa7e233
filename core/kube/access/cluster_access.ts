import { UserError } from "../../user_error.ts";

/** Where a cluster's API server is, and who we are to it. Secrets in files are read when they are needed. */
export interface ClusterAccess {
  /** Where this comes from, for messages: "kubeconfig /etc/…", "the pod's service account". */
  readonly origin: string;
  readonly server: URL;
  /** Whose signature on the server's certificate counts, besides the system's authorities. */
  readonly authority: PemSource | undefined;
  /** "" for none but what HTTPS_PROXY and NO_PROXY say. */
  readonly proxyUrl: string;
  readonly user: UserAccess;
}

export interface UserAccess {
  readonly token: { readonly text: string } | { readonly file: string } | undefined;
  readonly basic: { readonly username: string; readonly password: string } | undefined;
  readonly certificate: { readonly chain: PemSource; readonly key: PemSource } | undefined;
  readonly exec: ExecPlugin | undefined;
  /** Impersonate-User and its companions, ready to send. */
  readonly impersonation: readonly (readonly [header: string, value: string])[];
}

/** PEM text, or the file that holds it. */
export type PemSource = { readonly text: string } | { readonly file: string };

/** A program that gets credentials (client.authentication.k8s.io). */
export interface ExecPlugin {
  readonly apiVersion: string;
  /** A path, or a name to find in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** How to install it, in the words of the kubeconfig's author; "" when not said. */
  readonly installHint: string;
  /** What the plugin is told of the cluster (provideClusterInfo); undefined for nothing. */
  readonly cluster: Readonly<Record<string, unknown>> | undefined;
}

export const anonymous: UserAccess = {
  token: undefined,
  basic: undefined,
  certificate: undefined,
  exec: undefined,
  impersonation: [],
};

/** What the operator wrote about access to the cluster cannot be used. Waiting does not heal it. */
export class AccessError extends UserError {
  override readonly name = "AccessError";
}

/** @param withTls whether a server given without scheme is spoken to by https. */
export function serverUrl(server: string, where: string, withTls: boolean): URL {
  const url = URL.parse(server.includes("://") ? server : `${withTls ? "https" : "http"}://${server}`);
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw new AccessError(`${where}: ${JSON.stringify(server)} is not a URL such as https://10.0.0.1:6443`);
}
