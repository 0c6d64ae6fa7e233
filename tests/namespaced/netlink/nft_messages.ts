import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST } from "../../../ffi/netlink/constants.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";

/** A few messages of nf_tables, to move data through a socket. linux/netfilter/nf_tables.h, nfnetlink.h */

const NFT_MSG_NEWTABLE = 0x0a00;
const NFT_MSG_NEWCHAIN = 0x0a03;
const NFT_MSG_NEWSET = 0x0a09;
const NFT_MSG_NEWSETELEM = 0x0a0c;
const NFT_MSG_GETSETELEM = 0x0a0d;
const NFT_MSG_GETGEN = 0x0a10;
export const NFT_MSG_NEWGEN = 0x0a0f;
export const NFNLGRP_NFTABLES = 7;

export function getGeneration(writer: MessageWriter, seq: number): void {
  message(writer, NFT_MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK, seq, 0, () => {});
}

export function dumpElements(writer: MessageWriter, seq: number): void {
  message(writer, NFT_MSG_GETSETELEM, NLM_F_REQUEST | NLM_F_DUMP, seq, 2, () => {
    writer.attrString(1, "t");
    writer.attrString(2, "s");
  });
}

/** nft add table ip t */
export function addTable(writer: MessageWriter, seq: number): void {
  message(writer, NFT_MSG_NEWTABLE, NLM_F_REQUEST | NLM_F_CREATE, seq, 2, () => writer.attrString(1, "t"));
}

/** nft add chain ip TABLE c */
export function addChain(writer: MessageWriter, seq: number, table: string): void {
  message(writer, NFT_MSG_NEWCHAIN, NLM_F_REQUEST | NLM_F_CREATE, seq, 2, () => {
    writer.attrString(1, table);
    writer.attrString(3, "c");
  });
}

/**
 * nft add set ip t s '{ type ipv4_addr; size 100000; }'
 *
 * With a size, because sets without one are rehashed in the background for some 100 ms after a bulk load, and a dump
 * meanwhile has elements twice and others not at all, without NLM_F_DUMP_INTR (seen on 6.18).
 */
export function addSet(writer: MessageWriter, seq: number): void {
  message(writer, NFT_MSG_NEWSET, NLM_F_REQUEST | NLM_F_CREATE, seq, 2, () => {
    writer.attrString(1, "t");
    writer.attrString(2, "s");
    writer.attrU32be(3, 0);
    writer.attrU32be(4, 7);
    writer.attrU32be(5, 4);
    writer.nest(9, () => writer.attrU32be(1, 100_000));
    writer.attrU32be(10, 1);
  });
}

/** Adds `count` elements, in as many messages as it takes. Returns the first unused sequence number. */
export function addElements(writer: MessageWriter, seq: number, count: number): number {
  for (let next = 0; next < count;) {
    message(writer, NFT_MSG_NEWSETELEM, NLM_F_REQUEST | NLM_F_CREATE, seq++, 2, () => {
      writer.attrString(1, "t");
      writer.attrString(2, "s");
      const mark = writer.nestStart(3);
      for (; next < count && writer.length - mark < 60_000; next++) {
        const key = next;
        writer.nest(1, () => writer.nest(1, () => writer.attrU32be(1, key)));
      }
      writer.nestEnd(mark);
    });
  }
  return seq;
}

export function batch(writer: MessageWriter, body: () => void): void {
  message(writer, 0x10, NLM_F_REQUEST, 0, 0, () => {}, 10);
  body();
  message(writer, 0x11, NLM_F_REQUEST, 0, 0, () => {}, 10);
}

function message(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  family: number,
  body: () => void,
  resource = 0,
): void {
  writer.begin(type, flags, seq);
  writer.rawU8(family);
  writer.rawU8(0);
  writer.rawU16be(resource);
  body();
  writer.end();
}
