/** Layouts of the structures for messages that have control messages beside their data. */

/**
 * struct msghdr { void *msg_name; socklen_t msg_namelen; struct iovec *msg_iov; size_t msg_iovlen; void *msg_control;
 *                 size_t msg_controllen; int msg_flags; } sys/socket.h
 */
export const MSGHDR = {
  size: 56,
  msg_name: 0,
  msg_namelen: 8,
  msg_iov: 16,
  msg_iovlen: 24,
  msg_control: 32,
  msg_controllen: 40,
} as const;

/** struct iovec { void *iov_base; size_t iov_len; } sys/socket.h */
export const IOVEC = { size: 16, iov_base: 0, iov_len: 8 } as const;

/** struct cmsghdr { size_t cmsg_len; int cmsg_level; int cmsg_type; }, followed by the data. sys/socket.h */
export const CMSGHDR = { size: 16, cmsg_len: 0, cmsg_level: 8, cmsg_type: 12 } as const;

/** Returns the size of a control message. They are aligned to the size of a pointer (CMSG_SPACE). */
export function controlSpace(dataBytes: number): number {
  return CMSGHDR.size + Math.ceil(dataBytes / 8) * 8;
}

/** Writes the header of the first control message. @param control memory that is zero. */
export function setControlHeader(control: DataView, level: number, type: number, dataBytes: number): void {
  // The upper half of the length stays zero.
  control.setUint32(CMSGHDR.cmsg_len, CMSGHDR.size + dataBytes, true);
  control.setInt32(CMSGHDR.cmsg_level, level, true);
  control.setInt32(CMSGHDR.cmsg_type, type, true);
}
