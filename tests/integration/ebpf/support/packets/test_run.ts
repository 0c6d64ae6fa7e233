import type { BpfProgram } from "../../../../../ffi/bpf/program.ts";
import { KernelError } from "../../../../../ffi/errors.ts";
import { libbpf } from "../../../../../ffi/libraries/libbpf.ts";

/** Result of a program, and the packet it left. */
export interface TestRunResult {
  /** TC_ACT_*, linux/pkt_cls.h */
  readonly action: number;
  readonly packet: Uint8Array<ArrayBuffer>;
  /** Time that the program took, in nanoseconds. */
  readonly duration: number;
}

/** TCP segments that GRO merged into one packet. */
export interface Aggregation {
  readonly segments: number;
  /** Bytes of payload per segment. */
  readonly size: number;
}

/** Runs a program on packets in the kernel (BPF_PROG_TEST_RUN) without sending anything. */
export class TestRun {
  readonly #program: BpfProgram;
  readonly #input = new Uint8Array(MAX_BYTES);
  readonly #output = new Uint8Array(MAX_BYTES);
  readonly #context = new DataView(new ArrayBuffer(SKB.bytes));
  readonly #options = new DataView(new ArrayBuffer(OPTS.bytes));

  constructor(program: BpfProgram) {
    this.#program = program;
    const at = (buffer: BufferSource) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer));
    this.#options.setBigUint64(0, BigInt(OPTS.bytes), true);
    this.#options.setBigUint64(OPTS.dataIn, at(this.#input), true);
    this.#options.setBigUint64(OPTS.dataOut, at(this.#output), true);
    this.#options.setBigUint64(OPTS.ctxIn, at(this.#context), true);
    this.#options.setUint32(OPTS.ctxInSize, SKB.bytes, true);
    this.#options.setInt32(OPTS.repeat, 1, true);
  }

  /**
   * @param ifindex device of the packet.
   * @param ingressIfindex device at which a packet that leaves has arrived; 0 for one of the node.
   */
  run(
    packet: Uint8Array,
    ifindex: number,
    { segments, size }: Aggregation = { segments: 0, size: 0 },
    ingressIfindex = 0,
  ): TestRunResult {
    this.#input.set(packet);
    this.#context.setUint32(SKB.gsoSegs, segments, true);
    this.#context.setUint32(SKB.gsoSize, size, true);
    this.#context.setUint32(SKB.ifindex, ifindex, true);
    this.#context.setUint32(SKB.ingressIfindex, ingressIfindex, true);
    this.#options.setUint32(OPTS.inSize, packet.length, true);
    this.#options.setUint32(OPTS.outSize, MAX_BYTES, true);
    const result = libbpf().bpf_prog_test_run_opts(this.#program.fd, new Uint8Array(this.#options.buffer));
    if (result < 0) throw new KernelError(`run BPF program ${this.#program.name}`, -result);
    return {
      action: this.#options.getUint32(OPTS.retval, true),
      packet: this.#output.slice(0, this.#options.getUint32(OPTS.outSize, true)),
      duration: this.#options.getUint32(OPTS.duration, true),
    };
  }
}

const MAX_BYTES = 4096;

// struct bpf_test_run_opts, bpf/bpf.h: sz, data_in, data_out; u32 data_size_in, data_size_out; ctx_in,
// ctx_out; u32 ctx_size_in, ctx_size_out, retval; int repeat; u32 duration, flags, cpu, batch_size.
const OPTS = {
  bytes: 80,
  dataIn: 8,
  dataOut: 16,
  inSize: 24,
  outSize: 28,
  ctxIn: 32,
  ctxInSize: 48,
  retval: 56,
  repeat: 60,
  duration: 64,
};
// struct __sk_buff, linux/bpf.h
const SKB = { bytes: 192, ingressIfindex: 36, ifindex: 40, gsoSegs: 164, gsoSize: 176 };
