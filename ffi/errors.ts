import { errnoName, errnoOf, errnoText } from "./errno.ts";
import { libnl } from "./libraries/libnl.ts";
import { textAt } from "./memory.ts";

export interface KernelErrorDetails extends ErrorOptions {
  /** Text from the kernel or the library beyond the errno. */
  readonly extack?: string | undefined;
  /** Advice for the operator, a full sentence without its period. */
  readonly advice?: string | undefined;
  /** Command that makes the operation possible: "modprobe ip_vs". */
  readonly fix?: string | undefined;
}

/** The kernel rejected an operation. */
export class KernelError extends Error {
  override readonly name = "KernelError";
  /** "EEXIST" */
  readonly errnoName: string;
  /** The kernel's extended acknowledgement, or the library's text if it says more than the errno. */
  readonly extack?: string;
  /** Advice for the operator. It is part of the message. */
  readonly advice?: string;
  /** Command that makes the operation possible. It is the end of the message. */
  readonly fix?: string;
  /** The message without `fix`. */
  readonly problem: string;

  constructor(
    /** The attempt: "open a NETLINK_NETFILTER socket". */
    readonly operation: string,
    /** Positive. */
    readonly errno: number,
    details: KernelErrorDetails = {},
  ) {
    const { extack, advice, fix, ...options } = details;
    const why = extack === undefined ? errnoText(errno) : `${errnoText(errno)}: ${extack}`;
    const problem = `${operation}: ${errnoName(errno)} (${why})${advice === undefined ? "" : `. ${advice}`}`;
    super(fix === undefined ? problem : `${problem}. Run on the node: ${fix}`, options);
    this.problem = problem;
    this.errnoName = errnoName(errno);
    if (extack !== undefined) this.extack = extack;
    if (advice !== undefined) this.advice = advice;
    if (fix !== undefined) this.fix = fix;
  }
}

/**
 * The errno for each code of libnl (netlink/errno.h). libnl maps several errnos to one code; the table
 * has the most likely one.
 * NLE_FAILURE stands for all errnos without a code, such as EMSGSIZE and ECONNREFUSED.
 */
const LIBNL_ERRNOS: Readonly<Record<number, string>> = {
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
export const NLE_PROTO_MISMATCH = 26; // netlink/errno.h, for EPROTONOSUPPORT

/**
 * Makes the error for a result of libnl.
 * @param code negative, as libnl returned it.
 */
export function libnlError(operation: string, code: number, details: KernelErrorDetails = {}): KernelError {
  const errno = errnoOf(LIBNL_ERRNOS[-code] ?? "EIO");
  return new KernelError(operation, errno, { extack: `libnl: ${libnlText(code)}`, ...details });
}

/** libnl's text for a code. */
function libnlText(code: number): string {
  return textAt(libnl().nl_geterror(code));
}
