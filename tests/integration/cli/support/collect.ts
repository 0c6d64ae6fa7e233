/** Collects the output of a process as it arrives. */
export async function collect(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  told: (text: string) => void = () => {},
): Promise<string> {
  let all = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    all += text;
    told(text);
  }
  return all;
}
