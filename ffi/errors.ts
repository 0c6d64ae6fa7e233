import { errnoName, errnoOf, errnoText } from "./errno.ts";
import { libnl } from "./libnl.ts";
import { textAt } from "./memory.ts";

export interface KernelErrorDetails extends ErrorOptions {
  /** What the kernel or the library says in words, beyond the errno. */
  readonly extack?: string | undefined;
  /** What the reader can do about it, a full sentence. */
  readonly advice?: string | undefined;
}

/** The kernel refused something. */
export class KernelError extends Error {
  override readonly name = "KernelError";
  /** For example "EEXIST". */
  readonly errnoName: string;
  /** The kernel's extended acknowledgement, or the library's text when it knows more than the errno. */
  readonly extack?: string;
  /** What the reader can do about it; it is part of the message. */
  readonly advice?: string;

  constructor(
    /** What was attempted, in words: "open a NETLINK_NETFILTER socket". */
    readonly operation: string,
    /** Positive. */
    readonly errno: number,
    details: KernelErrorDetails = {},
  ) {
    const { extack, advice, ...options } = details;
    const why = extack === undefined ? errnoText(errno) : `${errnoText(errno)}: ${extack}`;
    super(`${operation}: ${errnoName(errno)} (${why})${advice === undefined ? "" : `. ${advice}`}`, options);
    this.errnoName = errnoName(errno);
    if (extack !== undefined) this.extack = extack;
    if (advice !== undefined) this.advice = advice;
  }
}

/**
 * Which errno a code of libnl stands for (netlink/errno.h). libnl folds several into one; the likelier is here.
 * NLE_FAILURE is everything libnl has no code for, EMSGSIZE and ECONNREFUSED among them.
 */
const errnoOfLibnl: Readonly<Record<number, string>> = {
  2: "EINTR", // NLE_INTR
  3: "EBADF", // NLE_BAD_SOCK
  4: "EAGAIN", // NLE_AGAIN
  5: "ENOMEM", // NLE_NOMEM, ENOBUFS too
  6: "EEXIST", // NLE_EXIST
  7: "EINVAL", // NLE_INVAL
  8: "ERANGE", // NLE_RANGE
  9: "EMSGSIZE", // NLE_MSGSIZE
  10: "EOPNOTSUPP", // NLE_OPNOTSUPP
  11: "EAFNOSUPPORT", // NLE_AF_NOSUPPORT
  12: "ENOENT", // NLE_OBJ_NOTFOUND
  18: "EMSGSIZE", // NLE_MSG_TRUNC
  19: "EADDRNOTAVAIL", // NLE_NOADDR
  25: "EBUSY", // NLE_BUSY
  26: "EPROTONOSUPPORT", // NLE_PROTO_MISMATCH
  27: "EACCES", // NLE_NOACCESS
  28: "EPERM", // NLE_PERM
  31: "ENODEV", // NLE_NODEV
};

export const NLE_FAILURE = 1; // netlink/errno.h
export const NLE_AGAIN = 4; // netlink/errno.h
export const NLE_NOMEM = 5; // netlink/errno.h

/**
 * The error behind a result of libnl.
 * @param code negative, as libnl returned it.
 */
export function libnlError(operation: string, code: number, details: KernelErrorDetails = {}): KernelError {
  const errno = errnoOf(errnoOfLibnl[-code] ?? "EIO");
  return new KernelError(operation, errno, { extack: `libnl: ${libnlText(code)}`, ...details });
}

/** libnl's own words for its code, which no errno can be translated to. */
function libnlText(code: number): string {
  return textAt(libnl().nl_geterror(code));
}
