export const RTNLGRP_IPV4_IFADDR = 5; // linux/rtnetlink.h
export const RTNLGRP_IPV6_IFADDR = 9; // linux/rtnetlink.h
