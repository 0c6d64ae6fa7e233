import {
  openssl,
  SSL_CTRL_CHAIN_CERT,
  SSL_CTRL_SET_MIN_PROTO_VERSION,
  SSL_CTRL_SET_TLSEXT_HOSTNAME,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
  SSL_VERIFY_NONE,
  SSL_VERIFY_PEER,
  TLS1_2_VERSION,
  TLSEXT_NAMETYPE_host_name,
  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
  X509_V_FLAG_PARTIAL_CHAIN,
  X509_V_OK,
} from "./libraries/libssl.ts";
import { cString, textAt } from "./memory.ts";

/** TLS failed. The message is OpenSSL's reason. */
export class TlsError extends Error {
  override readonly name = "TlsError";
}

/** Settings of a TLS client. Every text is one PEM block. */
export interface TlsClientOptions {
  /** Certificates that the server's chain must lead to. One of them may be the server's own certificate. */
  readonly authorities: readonly string[];
  /** False to accept every server certificate. */
  readonly verify: boolean;
  /** Client certificate and its intermediates; empty for none. */
  readonly chain: readonly string[];
  /** Private key of the client certificate; "" for none. */
  readonly key: string;
}

/**
 * Settings that sessions share (SSL_CTX). Verification is that of Go's crypto/tls: TLS 1.2 or later, every certificate
 * in `authorities` is a trust anchor, and a server certificate may be an authority itself.
 */
export class TlsClient implements Disposable {
  readonly #context: Deno.PointerObject;
  #isOpen = true;

  /** @throws TlsError when OpenSSL rejects a certificate or the key; LibraryError when there is no OpenSSL. */
  constructor({ authorities, verify, chain, key }: TlsClientOptions) {
    const { ssl, crypto } = openssl();
    crypto.ERR_clear_error();
    this.#context = notNull(ssl.SSL_CTX_new(ssl.TLS_client_method()), "SSL_CTX_new");
    try {
      ssl.SSL_CTX_ctrl(this.#context, SSL_CTRL_SET_MIN_PROTO_VERSION, BigInt(TLS1_2_VERSION), null);
      // Debian's default of 2 rejects RSA keys of 1024 bits, which Go accepts.
      ssl.SSL_CTX_set_security_level(this.#context, 1);
      ssl.SSL_CTX_set_verify(this.#context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, null);
      this.#trust(authorities);
      if (chain.length > 0) this.#useClientCertificate(chain, key);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Starts a session.
   * @param serverName DNS name or IP address that the server's certificate must contain
   */
  session(serverName: string): TlsSession {
    if (!this.#isOpen) throw new TlsError("the TLS client is closed");
    const { ssl, crypto } = openssl();
    const session = notNull(ssl.SSL_new(this.#context), "SSL_new");
    const parameters = ssl.SSL_get0_param(session);
    crypto.X509_VERIFY_PARAM_set_flags(parameters, BigInt(X509_V_FLAG_PARTIAL_CHAIN));
    const name = cString(serverName);
    if (crypto.X509_VERIFY_PARAM_set1_ip_asc(parameters, name) !== 1) {
      const flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
      crypto.X509_VERIFY_PARAM_set_hostflags(parameters, flags);
      crypto.X509_VERIFY_PARAM_set1_host(parameters, name, 0n);
      ssl.SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, BigInt(TLSEXT_NAMETYPE_host_name), name);
    }
    crypto.ERR_clear_error();
    return new TlsSession(session);
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // Sessions hold a reference, so the memory lives as long as the last one.
    openssl().ssl.SSL_CTX_free(this.#context);
  }

  /** Adds authorities. One that cannot be decoded is left out, as in Go, unless there is no other. */
  #trust(authorities: readonly string[]): void {
    const { ssl, crypto } = openssl();
    const store = ssl.SSL_CTX_get_cert_store(this.#context);
    let trusted = 0;
    let failure: unknown;
    for (const pem of authorities) {
      try {
        withCertificate(pem, (certificate) => checked(crypto.X509_STORE_add_cert(store, certificate)));
        trusted++;
      } catch (error) {
        failure = error;
      }
    }
    if (trusted === 0 && failure !== undefined) throw failure;
  }

  #useClientCertificate([leaf = "", ...intermediates]: readonly string[], key: string): void {
    const { ssl } = openssl();
    const context = this.#context;
    withCertificate(leaf, (certificate) => checked(ssl.SSL_CTX_use_certificate(context, certificate)));
    for (const pem of intermediates) {
      withCertificate(
        pem,
        (certificate) => checked(ssl.SSL_CTX_ctrl(context, SSL_CTRL_CHAIN_CERT, 1n, certificate)),
      );
    }
    withKey(key, (privateKey) => checked(ssl.SSL_CTX_use_PrivateKey(context, privateKey)));
    checked(ssl.SSL_CTX_check_private_key(context));
  }
}

/** One TLS connection as a function of bytes: the caller moves `received` and `toSend` between it and a socket. */
export class TlsSession implements Disposable {
  readonly #session: Deno.PointerObject;
  readonly #incoming: Deno.PointerValue;
  readonly #outgoing: Deno.PointerValue;
  #isOpen = true;

  constructor(session: Deno.PointerObject) {
    const { ssl, crypto } = openssl();
    this.#session = session;
    this.#incoming = crypto.BIO_new(crypto.BIO_s_mem());
    this.#outgoing = crypto.BIO_new(crypto.BIO_s_mem());
    // The session owns both from here on.
    ssl.SSL_set_bio(session, this.#incoming, this.#outgoing);
    ssl.SSL_set_connect_state(session);
  }

  /** Continues the handshake. @returns false until it is complete. @throws TlsError */
  handshake(): boolean {
    const { ssl, crypto } = openssl();
    this.#mustBeOpen();
    crypto.ERR_clear_error();
    const result = ssl.SSL_do_handshake(this.#session);
    if (result === 1) return true;
    if (ssl.SSL_get_error(this.#session, result) === SSL_ERROR_WANT_READ) return false;
    throw this.#failure();
  }

  /**
   * Decrypts what was received.
   * @returns the number of bytes, 0 when more must be received first, and null when the peer has ended the connection.
   * @throws TlsError
   */
  read(into: Uint8Array<ArrayBuffer>): number | null {
    const { ssl, crypto } = openssl();
    this.#mustBeOpen();
    crypto.ERR_clear_error();
    const count = ssl.SSL_read(this.#session, into, into.length);
    if (count > 0) return count;
    switch (ssl.SSL_get_error(this.#session, count)) {
      case SSL_ERROR_WANT_READ:
        return 0;
      case SSL_ERROR_ZERO_RETURN:
        return null;
      default:
        throw this.#failure();
    }
  }

  /** Encrypts bytes into `toSend`. @throws TlsError */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    const { ssl, crypto } = openssl();
    this.#mustBeOpen();
    crypto.ERR_clear_error();
    if (ssl.SSL_write(this.#session, bytes, bytes.length) !== bytes.length) throw this.#failure();
  }

  /** Passes on bytes from the socket. */
  received(bytes: Uint8Array<ArrayBuffer>): void {
    this.#mustBeOpen();
    openssl().crypto.BIO_write(this.#incoming, bytes, bytes.length);
  }

  /** Takes the bytes for the socket; empty when there are none. */
  toSend(): Uint8Array<ArrayBuffer> {
    const { crypto } = openssl();
    this.#mustBeOpen();
    const bytes = new Uint8Array(Number(crypto.BIO_ctrl_pending(this.#outgoing)));
    if (bytes.length > 0) crypto.BIO_read(this.#outgoing, bytes, bytes.length);
    return bytes;
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    openssl().ssl.SSL_free(this.#session);
  }

  #mustBeOpen(): void {
    if (!this.#isOpen) throw new TlsError("the TLS connection is closed");
  }

  #failure(): TlsError {
    const { ssl, crypto } = openssl();
    const verified = ssl.SSL_get_verify_result(this.#session);
    const reason = lastReason();
    if (Number(verified) === X509_V_OK || !/certificate verify failed/.test(reason)) {
      return new TlsError(reason);
    }
    return new TlsError(
      `certificate verify failed: ${textAt(crypto.X509_verify_cert_error_string(verified))}`,
    );
  }
}

function withCertificate(pem: string, use: (certificate: Deno.PointerObject) => void): void {
  const { crypto } = openssl();
  const certificate = withPem(pem, (bio) => crypto.PEM_read_bio_X509(bio, null, null, null));
  try {
    use(certificate);
  } finally {
    crypto.X509_free(certificate);
  }
}

function withKey(pem: string, use: (key: Deno.PointerObject) => void): void {
  const { crypto } = openssl();
  // The empty password keeps OpenSSL from asking for one on the terminal.
  const password = cString("");
  const key = withPem(pem, (bio) => crypto.PEM_read_bio_PrivateKey(bio, null, null, password));
  try {
    use(key);
  } finally {
    crypto.EVP_PKEY_free(key);
  }
}

function withPem(
  pem: string,
  read: (bio: Deno.PointerValue) => Deno.PointerValue,
): Deno.PointerObject {
  const { crypto } = openssl();
  const bytes = new TextEncoder().encode(pem);
  const bio = notNull(crypto.BIO_new(crypto.BIO_s_mem()), "BIO_new");
  try {
    crypto.BIO_write(bio, bytes, bytes.length);
    const value = read(bio);
    if (value === null) throw new TlsError(lastReason());
    return value;
  } finally {
    crypto.BIO_free(bio);
  }
}

/** @throws TlsError unless the result is 1 */
function checked(result: number | bigint): void {
  if (Number(result) !== 1) throw new TlsError(lastReason());
}

function notNull(pointer: Deno.PointerValue, call: string): Deno.PointerObject {
  if (pointer === null) throw new TlsError(`${call} failed: ${lastReason()}`);
  return pointer;
}

/** The first reason in OpenSSL's error queue, which is emptied. */
function lastReason(): string {
  const { crypto } = openssl();
  const code = crypto.ERR_get_error();
  const reason = textAt(crypto.ERR_reason_error_string(code));
  crypto.ERR_clear_error();
  return reason === "" ? "unknown error" : reason;
}
