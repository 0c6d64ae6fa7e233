/** One block of a PEM text. */
export interface PemBlock {
  /** "CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY" … */
  readonly label: string;
  /** The block in canonical form, with a newline at the end. */
  readonly text: string;
}

/** Blocks of a PEM text, in order. Text between blocks and blocks that are no base64 are ignored, as in Go. */
export function pemBlocks(text: string): readonly PemBlock[] {
  const blocks: PemBlock[] = [];
  for (const [, label = "", body = ""] of text.matchAll(BLOCK)) {
    const { headers, base64 } = splitBody(body);
    if (base64 === "" || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) continue;
    const lines = base64.match(/.{1,64}/g) ?? [];
    blocks.push({
      label,
      text: `-----BEGIN ${label}-----\n${headers}${lines.join("\n")}\n-----END ${label}-----\n`,
    });
  }
  return blocks;
}

/** Certificates of a PEM text. */
export function certificatesIn(text: string): readonly string[] {
  return pemBlocks(text).filter(({ label }) => label === "CERTIFICATE").map((block) => block.text);
}

/** The first private key of a PEM text; "" when there is none. */
export function privateKeyIn(text: string): string {
  return pemBlocks(text).find(({ label }) => /(^| )PRIVATE KEY$/.test(label))?.text ?? "";
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n([\s\S]*?)-----END \1-----/g;

/** Separates the headers of an encrypted key ("Proc-Type: …") from the base64. */
function splitBody(body: string): { readonly headers: string; readonly base64: string } {
  const lines = body.split(/\r?\n/).map((line) => line.trim());
  const headers = lines.filter((line) => line.includes(":"));
  return {
    headers: headers.length === 0 ? "" : `${headers.join("\n")}\n\n`,
    base64: lines.filter((line) => !line.includes(":")).join(""),
  };
}
