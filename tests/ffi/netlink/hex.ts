/** Bytes from a hex dump; white space does not count. */
export function hex(dump: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(dump.replace(/\s/g, ""));
}
