import { openLibrary } from "./library.ts";

/** Functions of libnl-3 for sockets. Messages are encoded and decoded in TypeScript (`netlink/`). */
const symbols = {
  /** struct nl_sock *nl_socket_alloc(void) */
  nl_socket_alloc: { parameters: [], result: "pointer" },
  /** void nl_socket_free(struct nl_sock *sk) */
  nl_socket_free: { parameters: ["pointer"], result: "void" },
  /** nl_socket_free off the main thread */
  nl_socket_free_nonblocking: {
    name: "nl_socket_free",
    parameters: ["pointer"],
    result: "void",
    nonblocking: true,
  },
  /** int nl_connect(struct nl_sock *sk, int protocol) */
  nl_connect: { parameters: ["pointer", "i32"], result: "i32" },
  /** int nl_socket_get_fd(const struct nl_sock *sk) */
  nl_socket_get_fd: { parameters: ["pointer"], result: "i32" },
  /** uint32_t nl_socket_get_local_port(const struct nl_sock *sk) */
  nl_socket_get_local_port: { parameters: ["pointer"], result: "u32" },
  /** int nl_socket_set_nonblocking(const struct nl_sock *sk) */
  nl_socket_set_nonblocking: { parameters: ["pointer"], result: "i32" },
  /** int nl_socket_set_msg_buf_size(struct nl_sock *sk, size_t bufsize) */
  nl_socket_set_msg_buf_size: { parameters: ["pointer", "usize"], result: "i32" },
  /** int nl_socket_add_membership(struct nl_sock *sk, int group) */
  nl_socket_add_membership: { parameters: ["pointer", "i32"], result: "i32" },
  /** int nl_socket_drop_membership(struct nl_sock *sk, int group) */
  nl_socket_drop_membership: { parameters: ["pointer", "i32"], result: "i32" },
  /** int nl_sendto(struct nl_sock *sk, void *buf, size_t size), off the main thread */
  nl_sendto: { parameters: ["pointer", "buffer", "usize"], result: "i32", nonblocking: true },
  /** int nl_recv(struct nl_sock *sk, struct sockaddr_nl *nla, unsigned char **buf, struct ucred **creds) */
  nl_recv: { parameters: ["pointer", "buffer", "buffer", "pointer"], result: "i32" },
  /** nl_recv off the main thread */
  nl_recv_nonblocking: {
    name: "nl_recv",
    parameters: ["pointer", "buffer", "buffer", "pointer"],
    result: "i32",
    nonblocking: true,
  },
  /** const char *nl_geterror(int error) */
  nl_geterror: { parameters: ["i32"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof symbols>["symbols"] | undefined;

/** @throws LibraryError that names the library and its package if it cannot be loaded. */
export function libnl(): Deno.DynamicLibrary<typeof symbols>["symbols"] {
  return opened ??= openLibrary({ soname: "libnl-3.so.200", debianPackage: "libnl-3-200" }, symbols);
}
