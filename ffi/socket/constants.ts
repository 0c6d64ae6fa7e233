export const EPOLL_CLOEXEC = 0o2000000; // sys/epoll.h
export const EPOLL_CTL_ADD = 1; // linux/eventpoll.h
export const EPOLL_CTL_DEL = 2; // linux/eventpoll.h
export const EPOLL_CTL_MOD = 3; // linux/eventpoll.h
export const EPOLLIN = 0x1; // sys/epoll.h
export const EPOLLPRI = 0x2; // sys/epoll.h
export const EPOLLOUT = 0x4; // sys/epoll.h
export const EPOLLERR = 0x8; // sys/epoll.h
export const EPOLLHUP = 0x10; // sys/epoll.h
export const EPOLLRDHUP = 0x2000; // sys/epoll.h
export const EPOLLET = 0x80000000; // sys/epoll.h

export const SO_REUSEADDR = 2; // asm-generic/socket.h
export const SO_ERROR = 4; // asm-generic/socket.h
export const SO_KEEPALIVE = 9; // asm-generic/socket.h
export const SO_LINGER = 13; // asm-generic/socket.h
export const SO_MARK = 36; // asm-generic/socket.h
export const SO_ORIGINAL_DST = 80; // linux/netfilter_ipv4.h
export const IP6T_SO_ORIGINAL_DST = 80; // linux/netfilter_ipv6/ip6_tables.h
export const AF_NETLINK = 16; // sys/socket.h
export const SOCK_RAW = 3; // sys/socket.h
export const SOL_RAW = 255; // sys/socket.h
export const ICMP_FILTER = 1; // linux/icmp.h
export const ICMPV6_FILTER = 1; // linux/icmpv6.h
export const IP_PKTINFO = 8; // linux/in.h
export const IPV6_RECVPKTINFO = 49; // linux/in6.h
export const IPV6_PKTINFO = 50; // linux/in6.h
export const IPV6_V6ONLY = 26; // linux/in6.h

export const TCP_NODELAY = 1; // linux/tcp.h
export const TCP_KEEPIDLE = 4; // linux/tcp.h
export const TCP_KEEPINTVL = 5; // linux/tcp.h
export const TCP_KEEPCNT = 6; // linux/tcp.h

export const SHUT_WR = 1; // sys/socket.h
export const SPLICE_F_MOVE = 1; // fcntl.h
export const SPLICE_F_NONBLOCK = 2; // fcntl.h
export const F_SETPIPE_SZ = 1031; // linux/fcntl.h
export const O_NONBLOCK = 0o4000; // fcntl.h

export const MSG_OOB = 0x01; // sys/socket.h
export const MSG_PEEK = 0x02; // sys/socket.h
export const SIOCATMARK = 0x8905; // asm-generic/sockios.h
export const TIOCOUTQ = 0x5411; // asm-generic/ioctls.h
export const FIONREAD = 0x541b; // asm-generic/ioctls.h

export const EINTR = 4; // asm-generic/errno-base.h
export const EAGAIN = 11; // asm-generic/errno-base.h
export const ENOMEM = 12; // asm-generic/errno-base.h
export const ENFILE = 23; // asm-generic/errno-base.h
export const EMFILE = 24; // asm-generic/errno-base.h
export const EPIPE = 32; // asm-generic/errno-base.h
export const EMSGSIZE = 90; // asm-generic/errno.h
export const EADDRNOTAVAIL = 99; // asm-generic/errno.h
export const ENOBUFS = 105; // asm-generic/errno.h
export const EINPROGRESS = 115; // asm-generic/errno.h
