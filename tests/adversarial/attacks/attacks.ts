import type { Attack } from "../support/attack.ts";
import { neighbourAttacks } from "./neighbours.ts";
import { pressureAttacks } from "./pressure.ts";
import { tcpAttacks } from "./tcp.ts";
import { udpAttacks } from "./udp.ts";

/** All attacks, in the order of docs/adversarial.md. */
export const attacks: readonly Attack[] = [
  ...tcpAttacks,
  ...udpAttacks,
  ...neighbourAttacks,
  ...pressureAttacks,
];
