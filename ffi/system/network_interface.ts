import { libc } from "../libraries/libc.ts";

const IF_NAMESIZE = 16; // net/if.h

/** Reports whether the network namespace of this process has an interface with the index. */
export function hasInterface(index: number): boolean {
  return libc().if_indextoname(index, new Uint8Array(IF_NAMESIZE)) !== null;
}
