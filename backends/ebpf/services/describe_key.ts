import {
  addressFromBytes,
  formatAddress,
  formatSocketAddress,
  isUnspecified,
} from "../../../core/net/address.ts";
import { protocolOfNumber } from "../../protocol_numbers.ts";
import { OFFSET } from "../maps/layout.ts";

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** Renders `struct frontend`: `10.96.0.10:80/TCP`, `node port 30080/UDP`, `the entry for unused ports of fd00::1`. */
export function describeKey(keys: DataView<ArrayBuffer>, offset: number): string {
  const bytes = new Uint8Array(keys.buffer, keys.byteOffset + offset, 16);
  const isIPv4 = MAPPED.every((byte, index) => bytes[index] === byte);
  const address = addressFromBytes(isIPv4 ? bytes.subarray(MAPPED.length) : bytes);
  const port = keys.getUint16(offset + OFFSET.frontend.port);
  if (port === 0) return `the entry for unused ports of ${formatAddress(address)}`;
  const number = keys.getUint16(offset + OFFSET.frontend.protocol, true);
  const protocol = protocolOfNumber(number) ?? `protocol ${number}`;
  const where = isUnspecified(address) ? `node port ${port}` : formatSocketAddress(address, port);
  return `${where}/${protocol}`;
}
