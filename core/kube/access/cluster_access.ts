import { UserError } from "../../user_error.ts";

/** Address of a cluster's API server and the identity to use. Secrets in files are read when they are needed. */
export interface ClusterAccess {
  /** Origin of these values, for messages: "kubeconfig /etc/…", "the pod's service account". */
  readonly origin: string;
  readonly server: URL;
  /** Certificate authorities of the server; undefined for those of the system. */
  readonly authority: PemSource | undefined;
  /** Name or address that the server's certificate must contain; "" for the host of `server`. */
  readonly tlsServerName: string;
  /** True to accept every server certificate (insecure-skip-tls-verify). */
  readonly isInsecure: boolean;
  /** Proxy to reach the server through; "" for none. */
  readonly proxyUrl: string;
  readonly user: UserAccess;
}

export interface UserAccess {
  readonly token: { readonly text: string } | { readonly file: string } | undefined;
  readonly basic: { readonly username: string; readonly password: string } | undefined;
  readonly certificate: { readonly chain: PemSource; readonly key: PemSource } | undefined;
  readonly exec: ExecPlugin | undefined;
  /** Impersonate-* headers. */
  readonly impersonation: readonly (readonly [header: string, value: string])[];
}

/** PEM text, or the file that holds it. */
export type PemSource = { readonly text: string } | { readonly file: string };

/** A credential plugin (client.authentication.k8s.io). */
export interface ExecPlugin {
  readonly apiVersion: string;
  /** A path, or a name to find in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** installHint of the kubeconfig; "" when missing. */
  readonly installHint: string;
  /** spec.cluster for the plugin (provideClusterInfo); undefined to leave it out. */
  readonly cluster: Readonly<Record<string, unknown>> | undefined;
}

export const anonymous: UserAccess = {
  token: undefined,
  basic: undefined,
  certificate: undefined,
  exec: undefined,
  impersonation: [],
};

/** The configured access to the cluster is invalid. A retry cannot fix it. */
export class AccessError extends UserError {
  override readonly name = "AccessError";
}

/**
 * Parses the URL of an API server.
 * @param withTls use https when the server is given without a scheme
 * @throws AccessError
 */
export function serverUrl(server: string, where: string, withTls: boolean): URL {
  const url = URL.parse(server.includes("://") ? server : `${withTls ? "https" : "http"}://${server}`);
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw new AccessError(`${where}: ${JSON.stringify(server)} is not a URL such as https://10.0.0.1:6443`);
}
