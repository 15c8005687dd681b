// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes out of one socket's receive queue and into another one's send queue, by page.
 * Each function works on one socket, under its lock alone.
 */

#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/uio.h>
#include <net/hotdata.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "helpers.h"

/* Bytes that leave a receive queue at once: each time may cost an ACK. */
#define UP_STEP SZ_256K
/* Buffers that are passed over before they leave, whatever is in them. */
#define UP_PASS_MAX 32

/* The *ahead bytes that were taken leave the receive queue. The socket is locked. */
void up_rx_done(struct sock *sk, __u32 *ahead)
{
	if (*ahead)
		tcp_read_done(sk, *ahead);
	*ahead = 0;
}

/*
 * Offers the unread bytes from the one `*ahead` of the first on, `max` at the most, and
 * adds to `*ahead` what was taken. That leaves the queue in steps: a quarter MiB, or half
 * of what the peer may send unasked. Says how much was taken. The socket is locked.
 */
int up_rx_take(struct sock *sk, __u32 *ahead, void *arg, size_t max, up_actor actor)
{
	struct sk_buff *skb;
	size_t took = 0;
	int passed = 0;

	/* Who reads on would pass the urgent byte unseen. */
	if (tcp_sk(sk)->urg_data)
		return 0;
	skb_queue_walk(&sk->sk_receive_queue, skb) {
		__s32 off = up_rx_offset(sk, skb, *ahead + took);
		size_t len;
		int n;

		if (off >= (__s32)skb->len) {
			passed++;
			continue;
		}
		len = min_t(size_t, skb->len - off, max - took);
		if (off < 0 || !len)
			break;
		n = actor(arg, skb, off, len);
		took += max(n, 0);
		if (n < (int)len)
			break;
	}
	*ahead += took;
	if (passed > UP_PASS_MAX || *ahead >= min(UP_STEP, tcp_full_space(sk) / 2))
		up_rx_done(sk, ahead);
	return took;
}

/* A copy of the last `len` bytes of skb, in single pages. NULL: no memory, or too many. */
static struct sk_buff *up_copy_rest(struct sk_buff *skb, u32 len)
{
	u32 head = min_t(u32, len, SKB_MAX_ORDER(0, 0)), at = skb->len - len;
	struct sk_buff *copy;
	int err, i;

	copy = alloc_skb_with_frags(head, len - head, 0, &err, GFP_KERNEL);
	if (!copy)
		return NULL;
	err = skb_copy_bits(skb, at, skb_put(copy, head), head);
	at += head;
	for (i = 0; !err && i < skb_shinfo(copy)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(copy)->frags[i];

		err = skb_copy_bits(skb, at, skb_frag_address(frag), skb_frag_size(frag));
		at += skb_frag_size(frag);
	}
	if (err) {
		kfree_skb(copy);
		return NULL;
	}
	copy->data_len = len - head;
	copy->len = len;
	return copy;
}

/* Says whether more can be received now. The socket is locked, and nothing was taken ahead. */
static bool up_unpin_first(struct sock *sk)
{
	struct sk_buff *skb = skb_peek(&sk->sk_receive_queue), *copy;
	__s32 off;

	if (!skb || !skb_frags_readable(skb) ||
	    TCP_SKB_CB(skb)->tcp_flags & (TCPHDR_SYN | TCPHDR_FIN))
		return false;
	off = up_rx_offset(sk, skb, 0);
	if (off < 0 || off >= (__s32)skb->len)
		return false;
	if (skb->truesize < SKB_TRUESIZE(skb->len - off) + READ_ONCE(sk->sk_rcvbuf) / 8)
		return false;
	copy = up_copy_rest(skb, skb->len - off);
	if (!copy)
		return false;
	/* As tcp_collapse() does it. */
	memcpy(copy->cb, skb->cb, sizeof(skb->cb));
	skb_copy_decrypted(copy, skb);
	TCP_SKB_CB(copy)->seq = tcp_sk(sk)->copied_seq;
	__skb_queue_before(&sk->sk_receive_queue, skb, copy);
	skb_set_owner_r(copy, sk);
	__skb_unlink(skb, &sk->sk_receive_queue);
	consume_skb(skb);
	return true;
}

/*
 * TCP merges what it receives into buffers as large as all that may wait. A few unread bytes at
 * the end of one keep all of it: the window may stay shut until they are read, which a part of
 * a head is not until the rest came. If an eighth of the receive buffer is kept for nothing,
 * those bytes get a buffer of their own. The socket is not locked.
 */
void up_rx_unpin(struct socket *sock)
{
	struct msghdr msg = { };
	struct kvec vec;
	char byte;
	bool more;

	lock_sock(sock->sk);
	more = up_unpin_first(sock->sk);
	release_sock(sock->sk);
	if (!more)
		return;
	/* Who reads tells the peer of a wider window (tcp_cleanup_rbuf()), also who only peeks. */
	vec = (struct kvec){ .iov_base = &byte, .iov_len = sizeof(byte) };
	kernel_recvmsg(sock, &msg, &vec, 1, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);
}

/*
 * MSG_SPLICE_PAGES cuts every range into single pages, each a frag that costs again at
 * the receiver. What came in compound pages leaves in them by the way of zero copy: its
 * callback fills the frags, its notification is not asked for (flags = 0).
 */
static void up_ubuf_complete(struct sk_buff *skb, struct ubuf_info *ubuf, bool success)
{
}

static const struct ubuf_info_ops up_ubuf_ops = { .complete = up_ubuf_complete };
static struct ubuf_info up_ubuf = { .ops = &up_ubuf_ops };

struct up_send {
	struct msghdr msg;
	struct sock *sk;
};

/* Adds up to `length` bytes of the ranges of `from` to skb. */
static int up_fill_frags(struct sk_buff *skb, struct iov_iter *from, size_t length)
{
	struct up_send *send = container_of(from, struct up_send, msg.msg_iter);
	struct skb_shared_info *info = skb_shinfo(skb);
	int max = READ_ONCE(net_hotdata.sysctl_max_skb_frags);

	length = min(length, iov_iter_count(from));
	if (skb_zcopy_pure(skb)) {
		/* It is new. Pure ones are not charged, as users pay for the pages. */
		info->flags &= ~SKBFL_PURE_ZEROCOPY;
		if (!sk_wmem_schedule(send->sk, length))
			return -EFAULT;
	}
	info->flags |= SKBFL_SHARED_FRAG;
	while (length) {
		const struct bio_vec *bv = from->bvec;
		u32 off = bv->bv_offset + from->iov_offset;
		size_t n = min_t(size_t, length, bv->bv_len - from->iov_offset);
		int at = info->nr_frags;

		if (n && skb_can_coalesce(skb, at, bv->bv_page, off)) {
			skb_frag_size_add(&info->frags[at - 1], n);
		} else if (n) {
			if (at >= max)
				return -EMSGSIZE;
			skb_fill_page_desc_noacc(skb, at, bv->bv_page, off, n);
			get_page(bv->bv_page);
		}
		skb->len += n;
		skb->data_len += n;
		skb->truesize += n;
		length -= n;
		iov_iter_advance(from, n);
		/* An empty range is not passed by advancing nothing. */
		if (!n && from->nr_segs > 1) {
			from->bvec++;
			from->nr_segs--;
			from->iov_offset = 0;
		}
	}
	return 0;
}

int up_send_pages(struct socket *sock, const struct bio_vec *ranges, __u32 count,
		  size_t bytes)
{
	struct up_send send = {
		.msg.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
		.sk = sock->sk,
	};
	int ret;

	iov_iter_bvec(&send.msg.msg_iter, ITER_SOURCE, ranges, count, bytes);
	/* This goes past TLS and the like, which an adopted socket has not: see adopted.c. */
	lock_sock(send.sk);
	/* Each skb counts as a user and none gives that back: it must not reach its end. */
	refcount_set(&up_ubuf.refcnt, 1);
	send.msg.msg_flags |= MSG_ZEROCOPY;
	send.msg.msg_ubuf = &up_ubuf;
	send.msg.sg_from_iter = up_fill_frags;
	ret = tcp_sendmsg_locked(send.sk, &send.msg, bytes);
	release_sock(send.sk);
	/* Only up_fill_frags() says this, for want of memory. */
	return ret == -EFAULT ? -ENOMEM : ret;
}
