import { certificatesIn } from "../access/pem.ts";

/**
 * The system's certificate authorities as PEM, for a kubeconfig that names none: the file in SSL_CERT_FILE, or the first
 * of those where Go looks on Linux (crypto/x509/root_linux.go). Empty when there is none.
 */
export function systemRoots(): readonly string[] {
  return roots ??= readRoots();
}

let roots: readonly string[] | undefined;

const FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

function readRoots(): readonly string[] {
  const configured = Deno.env.get("SSL_CERT_FILE");
  for (const file of configured ? [configured] : FILES) {
    try {
      return certificatesIn(Deno.readTextFileSync(file));
    } catch {
      // The next one may exist.
    }
  }
  return [];
}
