import type { PacketNode } from "./packet_node.ts";

const SCRIPT = new URL("./held_socket.py", import.meta.url).pathname;

/** A socket of the node: see held_socket.py. It is closed when it is disposed. */
export class HeldSocket implements AsyncDisposable {
  private constructor(
    private readonly process: Deno.ChildProcess,
    private readonly lines: ReadableStreamDefaultReader<Uint8Array>,
  ) {}

  static async open(node: PacketNode, ...args: readonly (string | number)[]): Promise<HeldSocket> {
    const command = ["netns", "exec", node.namespace.name, "python3", SCRIPT, ...args.map(String)];
    const process = new Deno.Command("ip", { args: command, stdin: "piped", stdout: "piped" }).spawn();
    const lines = process.stdout.getReader();
    const { done } = await lines.read();
    if (done) throw new Error(`${command.join(" ")} failed`);
    return new HeldSocket(process, lines);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stdin.close();
    await this.process.status;
    await this.lines.cancel();
  }
}
