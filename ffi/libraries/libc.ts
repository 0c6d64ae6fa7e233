/** Functions of glibc that neither Deno nor libnl offers. On 64-bit Linux, `size_t` and `ssize_t` are 64 bits wide. */
const symbols = {
  /** int memfd_create(const char *name, unsigned int flags) */
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  /** ssize_t write(int fd, const void *buf, size_t count) */
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  /** ssize_t read(int fd, void *buf, size_t count) */
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  /** int setns(int fd, int nstype) */
  setns: { parameters: ["i32", "i32"], result: "i32" },
  /** int open(const char *pathname, int flags) */
  open: { parameters: ["buffer", "i32"], result: "i32" },
  /** int flock(int fd, int op) */
  flock: { parameters: ["i32", "i32"], result: "i32" },
  /** int close(int fd) */
  close: { parameters: ["i32"], result: "i32" },
  /** void *dlopen(const char *filename, int flags) */
  dlopen: { parameters: ["buffer", "i32"], result: "pointer" },
  /** void *calloc(size_t nmemb, size_t size) */
  calloc: { parameters: ["usize", "usize"], result: "pointer" },
  /** void free(void *ptr) */
  free: { parameters: ["pointer"], result: "void" },
  /** int mallopt(int param, int value) */
  mallopt: { parameters: ["i32", "i32"], result: "i32" },
  /** int malloc_trim(size_t pad) */
  malloc_trim: { parameters: ["usize"], result: "i32" },
  /** long syscall(SYS_finit_module, int fd, const char *param_values, int flags): glibc has no wrapper */
  finit_module: { name: "syscall", parameters: ["i64", "i32", "buffer", "i32"], result: "i64" },
  /** long syscall(SYS_bpf, int cmd, union bpf_attr *attr, unsigned int size): glibc has no wrapper */
  bpf: { name: "syscall", parameters: ["i64", "i32", "buffer", "u32"], result: "i64" },
  /** int fcntl(int fd, int op, int arg) */
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset) */
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  /** int munmap(void *addr, size_t length) */
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  /** int vsnprintf(char *str, size_t size, const char *format, va_list ap) */
  vsnprintf: { parameters: ["buffer", "usize", "pointer", "pointer"], result: "i32" },
  /** int eventfd(unsigned int initval, int flags) */
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  /** int poll(struct pollfd *fds, nfds_t nfds, int timeout), off the main thread */
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32", nonblocking: true },
  /** int socket(int domain, int type, int protocol) */
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** int connect(int sockfd, const struct sockaddr *addr, socklen_t addrlen) */
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /**
   * ssize_t sendto(int sockfd, const void *buf, size_t len, int flags, const struct sockaddr *dest_addr,
   *                socklen_t addrlen)
   */
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "isize" },
  /** int getsockname(int sockfd, struct sockaddr *addr, socklen_t *addrlen) */
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  /** int getpeername(int sockfd, struct sockaddr *addr, socklen_t *addrlen) */
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  /** int shutdown(int sockfd, int how) */
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  /** int setsockopt(int sockfd, int level, int optname, const void *optval, socklen_t optlen) */
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  /** int getsockopt(int sockfd, int level, int optname, void *optval, socklen_t *optlen) */
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  /** char *if_indextoname(unsigned int ifindex, char *ifname) */
  if_indextoname: { parameters: ["u32", "buffer"], result: "pointer" },
  /** int getrlimit(int resource, struct rlimit *rlim) */
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  /** int setrlimit(int resource, const struct rlimit *rlim) */
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  /** int clock_gettime(clockid_t clockid, struct timespec *tp) */
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof symbols>["symbols"] | undefined;

/** Opens glibc, which Deno itself has already loaded. */
export function libc(): Deno.DynamicLibrary<typeof symbols>["symbols"] {
  return opened ??= Deno.dlopen("libc.so.6", symbols).symbols;
}

export const MFD_CLOEXEC = 0x1; // linux/memfd.h
export const MFD_NOEXEC_SEAL = 0x8; // linux/memfd.h, since Linux 6.3
export const RTLD_LAZY = 0x1; // dlfcn.h
export const RTLD_NODELETE = 0x1000; // dlfcn.h
export const M_MMAP_THRESHOLD = -3; // malloc.h
export const O_RDONLY = 0; // fcntl.h
export const LOCK_EX = 2; // asm-generic/fcntl.h
export const LOCK_NB = 4; // asm-generic/fcntl.h
export const O_CLOEXEC = 0o2000000; // fcntl.h
export const CLONE_NEWNET = 0x40000000; // linux/sched.h
export const F_SETFD = 2; // linux/fcntl.h
export const FD_CLOEXEC = 1; // linux/fcntl.h
export const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h
export const PROT_READ = 0x1; // asm-generic/mman-common.h
export const PROT_WRITE = 0x2; // asm-generic/mman-common.h
export const MAP_SHARED = 0x1; // asm-generic/mman-common.h
export const EFD_CLOEXEC = 0o2000000; // sys/eventfd.h
export const EFD_NONBLOCK = 0o4000; // sys/eventfd.h
export const POLLIN = 0x1; // poll.h
export const CLOCK_MONOTONIC = 1; // linux/time.h

export const RLIMIT_NOFILE = 7; // asm-generic/resource.h

export const AF_UNIX = 1; // sys/socket.h
export const AF_INET = 2; // sys/socket.h
export const AF_INET6 = 10; // sys/socket.h
export const SHUT_RDWR = 2; // sys/socket.h
export const SOCK_STREAM = 1; // sys/socket.h
export const SOCK_DGRAM = 2; // sys/socket.h
export const SOCK_NONBLOCK = 0o4000; // sys/socket.h
export const SOCK_CLOEXEC = 0o2000000; // sys/socket.h
export const MSG_DONTWAIT = 0x40; // linux/socket.h
export const MSG_NOSIGNAL = 0x4000; // linux/socket.h
export const SOL_SOCKET = 1; // asm-generic/socket.h
export const SO_SNDBUF = 7; // asm-generic/socket.h
export const SO_RCVBUF = 8; // asm-generic/socket.h
export const SO_PEERCRED = 17; // asm-generic/socket.h
export const SO_SNDBUFFORCE = 32; // asm-generic/socket.h
export const SO_RCVBUFFORCE = 33; // asm-generic/socket.h
export const SO_NETNS_COOKIE = 71; // asm-generic/socket.h, since Linux 5.14
export const SOL_NETLINK = 270; // linux/socket.h
