import { openLibrary } from "./library.ts";

/** Functions of OpenSSL's libcrypto for PEM, certificates, memory BIOs and errors. */
const cryptoSymbols = {
  /** BIO *BIO_new(const BIO_METHOD *type) */
  BIO_new: { parameters: ["pointer"], result: "pointer" },
  /** const BIO_METHOD *BIO_s_mem(void) */
  BIO_s_mem: { parameters: [], result: "pointer" },
  /** int BIO_free(BIO *a) */
  BIO_free: { parameters: ["pointer"], result: "i32" },
  /** int BIO_read(BIO *b, void *data, int dlen) */
  BIO_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  /** int BIO_write(BIO *b, const void *data, int dlen) */
  BIO_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  /** size_t BIO_ctrl_pending(BIO *b) */
  BIO_ctrl_pending: { parameters: ["pointer"], result: "usize" },
  /** X509 *PEM_read_bio_X509(BIO *bp, X509 **x, pem_password_cb *cb, void *u) */
  PEM_read_bio_X509: { parameters: ["pointer", "pointer", "pointer", "pointer"], result: "pointer" },
  /** EVP_PKEY *PEM_read_bio_PrivateKey(BIO *bp, EVP_PKEY **x, pem_password_cb *cb, void *u): u is the password */
  PEM_read_bio_PrivateKey: { parameters: ["pointer", "pointer", "pointer", "buffer"], result: "pointer" },
  /** void X509_free(X509 *a) */
  X509_free: { parameters: ["pointer"], result: "void" },
  /** void EVP_PKEY_free(EVP_PKEY *key) */
  EVP_PKEY_free: { parameters: ["pointer"], result: "void" },
  /** int X509_STORE_add_cert(X509_STORE *ctx, X509 *x) */
  X509_STORE_add_cert: { parameters: ["pointer", "pointer"], result: "i32" },
  /** int X509_VERIFY_PARAM_set_flags(X509_VERIFY_PARAM *param, unsigned long flags) */
  X509_VERIFY_PARAM_set_flags: { parameters: ["pointer", "u64"], result: "i32" },
  /** int X509_VERIFY_PARAM_set1_host(X509_VERIFY_PARAM *param, const char *name, size_t namelen) */
  X509_VERIFY_PARAM_set1_host: { parameters: ["pointer", "buffer", "usize"], result: "i32" },
  /** void X509_VERIFY_PARAM_set_hostflags(X509_VERIFY_PARAM *param, unsigned int flags) */
  X509_VERIFY_PARAM_set_hostflags: { parameters: ["pointer", "u32"], result: "void" },
  /** int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM *param, const char *ipasc) */
  X509_VERIFY_PARAM_set1_ip_asc: { parameters: ["pointer", "buffer"], result: "i32" },
  /** const char *X509_verify_cert_error_string(long n) */
  X509_verify_cert_error_string: { parameters: ["i64"], result: "pointer" },
  /** unsigned long ERR_get_error(void) */
  ERR_get_error: { parameters: [], result: "u64" },
  /** const char *ERR_reason_error_string(unsigned long e) */
  ERR_reason_error_string: { parameters: ["u64"], result: "pointer" },
  /** void ERR_clear_error(void) */
  ERR_clear_error: { parameters: [], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of OpenSSL's libssl for TLS clients. */
const sslSymbols = {
  /** const SSL_METHOD *TLS_client_method(void) */
  TLS_client_method: { parameters: [], result: "pointer" },
  /** SSL_CTX *SSL_CTX_new(const SSL_METHOD *method) */
  SSL_CTX_new: { parameters: ["pointer"], result: "pointer" },
  /** void SSL_CTX_free(SSL_CTX *ctx) */
  SSL_CTX_free: { parameters: ["pointer"], result: "void" },
  /** long SSL_CTX_ctrl(SSL_CTX *ctx, int cmd, long larg, void *parg) */
  SSL_CTX_ctrl: { parameters: ["pointer", "i32", "i64", "pointer"], result: "i64" },
  /** void SSL_CTX_set_security_level(SSL_CTX *s, int level) */
  SSL_CTX_set_security_level: { parameters: ["pointer", "i32"], result: "void" },
  /** void SSL_CTX_set_verify(SSL_CTX *ctx, int mode, SSL_verify_cb verify_callback) */
  SSL_CTX_set_verify: { parameters: ["pointer", "i32", "pointer"], result: "void" },
  /** X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *ctx) */
  SSL_CTX_get_cert_store: { parameters: ["pointer"], result: "pointer" },
  /** int SSL_CTX_use_certificate(SSL_CTX *ctx, X509 *x) */
  SSL_CTX_use_certificate: { parameters: ["pointer", "pointer"], result: "i32" },
  /** int SSL_CTX_use_PrivateKey(SSL_CTX *ctx, EVP_PKEY *pkey) */
  SSL_CTX_use_PrivateKey: { parameters: ["pointer", "pointer"], result: "i32" },
  /** int SSL_CTX_check_private_key(const SSL_CTX *ctx) */
  SSL_CTX_check_private_key: { parameters: ["pointer"], result: "i32" },
  /** SSL *SSL_new(SSL_CTX *ctx) */
  SSL_new: { parameters: ["pointer"], result: "pointer" },
  /** void SSL_free(SSL *ssl) */
  SSL_free: { parameters: ["pointer"], result: "void" },
  /** void SSL_set_bio(SSL *ssl, BIO *rbio, BIO *wbio) */
  SSL_set_bio: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
  /** void SSL_set_connect_state(SSL *ssl) */
  SSL_set_connect_state: { parameters: ["pointer"], result: "void" },
  /** X509_VERIFY_PARAM *SSL_get0_param(SSL *ssl) */
  SSL_get0_param: { parameters: ["pointer"], result: "pointer" },
  /** long SSL_ctrl(SSL *ssl, int cmd, long larg, void *parg) */
  SSL_ctrl: { parameters: ["pointer", "i32", "i64", "buffer"], result: "i64" },
  /** int SSL_do_handshake(SSL *ssl) */
  SSL_do_handshake: { parameters: ["pointer"], result: "i32" },
  /** int SSL_read(SSL *ssl, void *buf, int num) */
  SSL_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  /** int SSL_write(SSL *ssl, const void *buf, int num) */
  SSL_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  /** int SSL_get_error(const SSL *ssl, int ret) */
  SSL_get_error: { parameters: ["pointer", "i32"], result: "i32" },
  /** long SSL_get_verify_result(const SSL *ssl) */
  SSL_get_verify_result: { parameters: ["pointer"], result: "i64" },
} as const satisfies Deno.ForeignLibraryInterface;

interface OpenSsl {
  readonly crypto: Deno.DynamicLibrary<typeof cryptoSymbols>["symbols"];
  readonly ssl: Deno.DynamicLibrary<typeof sslSymbols>["symbols"];
}

let opened: OpenSsl | undefined;

/**
 * OpenSSL 3. It is opened at its first use, because most connections do not need it.
 * @throws LibraryError that names the library and its package when it cannot be loaded.
 */
export function openssl(): OpenSsl {
  if (opened !== undefined) return opened;
  const crypto = openLibrary({ soname: "libcrypto.so.3", debianPackage: "libssl3" }, cryptoSymbols);
  const ssl = openLibrary({ soname: "libssl.so.3", debianPackage: "libssl3" }, sslSymbols);
  return opened = { crypto, ssl };
}

export const SSL_CTRL_CHAIN_CERT = 89; // openssl/ssl.h
export const SSL_CTRL_SET_TLSEXT_HOSTNAME = 55; // openssl/tls1.h
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123; // openssl/ssl.h
export const TLSEXT_NAMETYPE_host_name = 0; // openssl/tls1.h
export const TLS1_2_VERSION = 0x0303; // openssl/prov_ssl.h
export const SSL_VERIFY_NONE = 0; // openssl/ssl.h
export const SSL_VERIFY_PEER = 1; // openssl/ssl.h
export const SSL_ERROR_WANT_READ = 2; // openssl/ssl.h
export const SSL_ERROR_ZERO_RETURN = 6; // openssl/ssl.h
export const X509_V_OK = 0; // openssl/x509_vfy.h
export const X509_V_FLAG_PARTIAL_CHAIN = 0x80000; // openssl/x509_vfy.h
export const X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS = 0x4; // openssl/x509v3.h
export const X509_CHECK_FLAG_NEVER_CHECK_SUBJECT = 0x20; // openssl/x509v3.h
