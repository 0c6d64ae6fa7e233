import { TlsClient } from "../../../ffi/tls.ts";
import { certificatesIn, privateKeyIn } from "./pem.ts";

/** A client certificate with its chain and key, which at least one of the two TLS libraries accepts. */
export interface KeyPair {
  /** PEM, the client's own certificate first. */
  readonly chain: readonly string[];
  readonly key: string;
  /** False when only OpenSSL accepts it. rustls is stricter than Go: it rejects X.509 v1 and RSA keys below 2048 bits. */
  readonly isForRustls: boolean;
}

/** The texts that a key pair comes from, and their origins for messages: "client-key /etc/…". */
export interface KeyPairTexts {
  readonly certificate: string;
  readonly certificateFrom: string;
  readonly key: string;
  readonly keyFrom: string;
}

/**
 * Checks a key pair. This must happen before the pair reaches Deno.createHttpClient, which ends the whole process with a
 * panic if rustls rejects the pair.
 * @throws Error that names the origin and the reason
 */
export function checkKeyPair({ certificate, certificateFrom, key, keyFrom }: KeyPairTexts): KeyPair {
  const chain = certificatesIn(certificate);
  if (chain.length === 0) throw new Error(`${certificateFrom}: contains no certificate in PEM format`);
  const privateKey = privateKeyIn(key);
  if (privateKey === "") throw new Error(`${keyFrom}: contains no private key in PEM format`);
  const rustlsProblem = rejectionByRustls(chain, privateKey);
  if (rustlsProblem === undefined) return { chain, key: privateKey, isForRustls: true };
  try {
    new TlsClient({ authorities: [], verify: true, chain, key: privateKey })[Symbol.dispose]();
  } catch (error) {
    const problem = error instanceof Error ? error.message : error;
    throw new Error(`${certificateFrom} and ${keyFrom}: not a valid key pair (${problem}; ${rustlsProblem})`);
  }
  return { chain, key: privateKey, isForRustls: false };
}

/** The reason why rustls rejects a key pair. A TLS server makes the same check as a client and reports it as an error. */
function rejectionByRustls(chain: readonly string[], key: string): string | undefined {
  try {
    Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: chain.join(""), key }).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
