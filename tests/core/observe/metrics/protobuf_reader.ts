/** A field of a protobuf message: numbers and doubles as numbers, everything else as bytes. */
export interface Field {
  readonly field: number;
  readonly value: number | Uint8Array;
}

/** Decodes the fields of a message on the wire, without knowing what they mean. */
export function fieldsOf(bytes: Uint8Array): readonly Field[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    if (tag % 8 === 0) fields.push({ field, value: varint() });
    else if (tag % 8 === 1) {
      fields.push({ field, value: view.getFloat64(at, true) });
      at += 8;
    } else if (tag % 8 === 2) {
      const length = varint();
      fields.push({ field, value: bytes.subarray(at, at + length) });
      at += length;
    } else throw new Error(`wire type ${tag % 8}`);
  }
  return fields;
}

/** The messages of a delimited stream. */
export function messagesIn(stream: Uint8Array): readonly Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let at = 0; at < stream.length;) {
    let length = 0;
    let byte = 0x80;
    for (let factor = 1; byte >= 0x80; factor *= 128) {
      byte = stream[at++] ?? 0;
      length += (byte & 0x7f) * factor;
    }
    messages.push(stream.subarray(at, at + length));
    at += length;
  }
  return messages;
}
