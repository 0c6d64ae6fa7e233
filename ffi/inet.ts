/** Numbers of address families and of protocols over IP. */

export const AF_UNSPEC = 0; // linux/socket.h
export const AF_INET = 2; // linux/socket.h
export const AF_INET6 = 10; // linux/socket.h

export const IPPROTO_IP = 0; // linux/in.h
export const IPPROTO_ICMP = 1; // linux/in.h
export const IPPROTO_TCP = 6; // linux/in.h
export const IPPROTO_UDP = 17; // linux/in.h
export const IPPROTO_IPV6 = 41; // linux/in.h
export const IPPROTO_ICMPV6 = 58; // linux/in6.h
export const IPPROTO_SCTP = 132; // linux/in.h
