import type { NetworkNamespace } from "./network_namespace.ts";

/** Makes a table with flags over a netlink socket of its own, and keeps the socket until standard input ends. */
const SCRIPT = `
import socket, struct, sys
family, name, flags = int(sys.argv[1]), sys.argv[2].encode() + b"\\0", int(sys.argv[3])
sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
sock.bind((0, 0))
def attribute(kind, data):
    return struct.pack("HH", 4 + len(data), kind) + data + b"\\0" * (-len(data) % 4)
def message(kind, flags, seq, body):
    return struct.pack("IHHII", 16 + len(body), kind, flags, seq, 0) + body
def nfgenmsg(family, resource):
    return struct.pack(">BBH", family, 0, resource)
table = nfgenmsg(family, 0) + attribute(1, name) + attribute(2, struct.pack(">I", flags))
sock.send(message(16, 1, 1, nfgenmsg(0, 10)) + message(10 << 8, 0x405, 2, table) + message(17, 1, 3, nfgenmsg(0, 10)))
sys.stdout.write("%d\\n" % -struct.unpack_from("i", sock.recv(65536), 16)[0])
sys.stdout.flush()
sys.stdin.read()
`;

const NFT_TABLE_F_OWNER = 2; // linux/netfilter/nf_tables.h
const NFT_TABLE_F_PERSIST = 4; // linux/netfilter/nf_tables.h, since Linux 6.9

/** A program that owns a table of nf_tables until it is disposed of. */
export class TableOwner implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
  }

  /** @param persists the table outlives its owner, which takes effect at the end of the owner. */
  static async of(
    namespace: NetworkNamespace,
    family: "ip" | "ip6",
    table: string,
    persists = false,
  ): Promise<TableOwner> {
    const flags = NFT_TABLE_F_OWNER | (persists ? NFT_TABLE_F_PERSIST : 0);
    const script = ["python3", "-c", SCRIPT, family === "ip" ? "2" : "10", table, String(flags)];
    const args = ["netns", "exec", namespace.name, ...script];
    const process = new Deno.Command("ip", { args, stdin: "piped", stdout: "piped" }).spawn();
    const reader = process.stdout.getReader();
    const answer = new TextDecoder().decode((await reader.read()).value).trim();
    await reader.cancel();
    if (answer !== "0") throw new Error(`table ${family} ${table} cannot be owned: errno ${answer}`);
    return new TableOwner(process);
  }

  get pid(): number {
    return this.#process.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stdin.close();
    await this.#process.status;
  }
}
