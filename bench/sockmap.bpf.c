// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel does with bytes that come in on a socket of sockmap-relay.rs: it sends
 * them out on the socket that the map names as this one's peer.
 *
 * The macros of libbpf's headers are not needed for so little: a map's attributes are the
 * types of its members, and a helper is its number.
 */

#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))

struct end {
	__u32 remote_port;	/* in network byte order */
	__u32 local_port;
};

struct {
	int (*type)[BPF_MAP_TYPE_SOCKHASH];
	int (*max_entries)[4096];
	struct end *key;
	__u32 *value;
} PEERS SECTION(".maps");

static long (*const sk_redirect_hash)(struct __sk_buff *skb, void *map, void *key, __u64 flags) =
	(void *)BPF_FUNC_sk_redirect_hash;

SECTION("sk_skb/stream_verdict")
int verdict(struct __sk_buff *skb)
{
	struct end end = { .remote_port = skb->remote_port, .local_port = skb->local_port };

	return sk_redirect_hash(skb, &PEERS, &end, 0);
}

char LICENSE[] SECTION("license") = "GPL";
