/*
 * The verdict program of the relay `movers sockmap`: sends what one socket of a connection receives through the other.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Socket cookie to the other socket of the connection. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} peers SEC(".maps");

SEC("sk_skb/stream_verdict")
int to_peer(struct __sk_buff *skb)
{
	/* A buffer that has only a FIN: the kernel would fail to send it, and end the other socket with EPIPE. */
	if (skb->len == 0) return SK_PASS;
	__u64 cookie = bpf_get_socket_cookie(skb);
	return bpf_sk_redirect_hash(skb, &peers, &cookie, 0);
}

char program_license[] SEC("license") = "GPL";
