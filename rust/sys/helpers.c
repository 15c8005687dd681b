// SPDX-License-Identifier: GPL-2.0
/*
 * Bodies of helpers.h: one inline, field or macro each.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <uapi/linux/sched/types.h>

#include "helpers.h"

static_assert(UP_MSG_SEND == (MSG_DONTWAIT | MSG_NOSIGNAL));
static_assert(UP_MSG_MORE == MSG_MORE);
static_assert(UP_SOCK_STREAM == SOCK_STREAM);
static_assert(UP_TCP_ESTABLISHED == TCP_ESTABLISHED);
static_assert(UP_TCP_FIN_WAIT1 == TCP_FIN_WAIT1);
static_assert(UP_TCP_CLOSE == TCP_CLOSE);
static_assert(UP_TCP_CLOSE_WAIT == TCP_CLOSE_WAIT);
static_assert(UP_TCP_LISTEN == TCP_LISTEN);
static_assert(UP_PAGE_SIZE == PAGE_SIZE);

void up_lock_sock(struct sock *sk)
{
	lock_sock(sk);
}

void up_release_sock(struct sock *sk)
{
	release_sock(sk);
}

void up_callback_lock(struct sock *sk)
{
	write_lock_bh(&sk->sk_callback_lock);
}

void up_callback_unlock(struct sock *sk)
{
	write_unlock_bh(&sk->sk_callback_lock);
}

void up_sk_kind(struct sock *sk, struct up_kind *kind)
{
	kind->net = sock_net(sk);
	kind->family = sk->sk_family;
	kind->type = sk->sk_type;
	kind->protocol = sk->sk_protocol;
	kind->state = sk->sk_state;
	kind->has_ulp = sk_is_tcp(sk) && inet_csk(sk)->icsk_ulp_ops;
	kind->taken = rcu_access_pointer(sk->sk_user_data) ? 1 : 0;
	if (kind->has_ulp && up_ulp_is_ours(sk)) {
		kind->has_ulp = 0;
		kind->taken = 1;
	}
}

void up_sk_callbacks(struct sock *sk, struct up_callbacks *cb)
{
	cb->data_ready = READ_ONCE(sk->sk_data_ready);
	cb->state_change = READ_ONCE(sk->sk_state_change);
	cb->write_space = READ_ONCE(sk->sk_write_space);
	cb->error_report = READ_ONCE(sk->sk_error_report);
}

void up_sk_set_callbacks(struct sock *sk, const struct up_callbacks *cb)
{
	WRITE_ONCE(sk->sk_data_ready, cb->data_ready);
	WRITE_ONCE(sk->sk_state_change, cb->state_change);
	WRITE_ONCE(sk->sk_write_space, cb->write_space);
	WRITE_ONCE(sk->sk_error_report, cb->error_report);
}

void *up_sk_user_data(struct sock *sk)
{
	return rcu_dereference_sk_user_data(sk);
}

void up_sk_set_user_data(struct sock *sk, void *user)
{
	if (user)
		__rcu_assign_sk_user_data_with_flags(sk, user, SK_USER_DATA_NOCOPY);
	else
		rcu_assign_sk_user_data(sk, NULL);
}

__u32 up_sk_err(struct sock *sk)
{
	return READ_ONCE(sk->sk_err);
}

bool up_sk_want_write(struct sock *sk)
{
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	/* Pairs with the barrier in tcp_check_space(). */
	smp_mb__after_atomic();
	return sk_stream_is_writeable(sk);
}

int up_sk_abort(struct sock *sk, int err)
{
	return tcp_abort(sk, err);
}

void up_sk_set_nodelay(struct sock *sk)
{
	tcp_sock_set_nodelay(sk);
}

/*
 * SO_LINGER would have whoever drops the last reference wait for the peer (inet_release()): a
 * thread of ours, or the kernel's one work item for all files. With SO_RCVLOWAT a whole head might
 * be there and nobody woken. Accepted sockets inherit both. The socket's lock is held.
 */
void up_sk_no_options(struct sock *sk)
{
	sock_reset_flag(sk, SOCK_LINGER);
	WRITE_ONCE(sk->sk_rcvlowat, 1);
}

__u32 up_sk_backlog(const struct sock *sk)
{
	return READ_ONCE(sk->sk_max_ack_backlog);
}

void up_rx_status(struct sock *sk, struct up_rx *rx)
{
	int inq = tcp_inq(sk);

	rx->inq = inq > 0 ? inq : 0;
	rx->state = sk->sk_state;
	rx->fin = sock_flag(sk, SOCK_DONE);
	rx->urgent = tcp_sk(sk)->urg_data != 0;
}

struct sk_buff *up_rx_first(struct sock *sk)
{
	return skb_peek(&sk->sk_receive_queue);
}

struct sk_buff *up_rx_next(struct sock *sk, struct sk_buff *skb)
{
	return skb_peek_next(skb, &sk->sk_receive_queue);
}

/* Offset in skb of the byte `ahead` of the next one to be read. */
__s32 up_rx_offset(struct sock *sk, struct sk_buff *skb, __u32 ahead)
{
	__s32 off = tcp_sk(sk)->copied_seq + ahead - TCP_SKB_CB(skb)->seq;

	/* As in tcp_recv_skb(): a SYN takes a sequence number and no byte. */
	if (unlikely(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN))
		off--;
	return off;
}

struct up_read {
	up_actor actor;
	void *arg;
};

static int up_read_actor(read_descriptor_t *desc, struct sk_buff *skb,
			 unsigned int offset, size_t len)
{
	struct up_read *read = desc->arg.data;
	int took;

	/* The actor is offered the rest of the skb, also past desc->count. */
	len = min(len, desc->count);
	if (!len)
		return 0;
	took = read->actor(read->arg, skb, offset, len);
	if (took > 0)
		desc->count -= took;
	return took;
}

int up_rx_read(struct sock *sk, void *arg, size_t max, up_actor actor)
{
	struct up_read read = { .actor = actor, .arg = arg };
	read_descriptor_t desc = { .count = max, .arg.data = &read };

	return tcp_read_sock(sk, &desc, up_read_actor);
}

__u32 up_skb_len(const struct sk_buff *skb)
{
	return skb->len;
}

struct sk_buff *up_skb_clone(struct sk_buff *skb)
{
	return skb_clone(skb, GFP_KERNEL);
}

__u32 up_skb_headlen(const struct sk_buff *skb)
{
	return skb_headlen(skb);
}

__u32 up_skb_nr_frags(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->nr_frags;
}

struct page *up_skb_frag(const struct sk_buff *skb, __u32 i, __u32 *off, __u32 *len)
{
	const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

	*off = skb_frag_off(frag);
	*len = skb_frag_size(frag);
	return skb_frag_page(frag);
}

struct sk_buff *up_skb_frag_list(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->frag_list;
}

struct sk_buff *up_skb_next(const struct sk_buff *skb)
{
	return skb->next;
}

bool up_skb_readable(const struct sk_buff *skb)
{
	return skb_frags_readable(skb);
}

void up_get_page(struct page *page)
{
	get_page(page);
}

void up_put_page(struct page *page)
{
	put_page(page);
}

struct page *up_alloc_page(void)
{
	return alloc_page(GFP_KERNEL);
}

void *up_page_address(struct page *page)
{
	return page_address(page);
}

bool up_module_try_get(void)
{
	return try_module_get(THIS_MODULE);
}

void up_module_get(void)
{
	__module_get(THIS_MODULE);
}

void up_module_put(void)
{
	module_put(THIS_MODULE);
}

struct workqueue_struct *up_alloc_workqueue(void)
{
	return alloc_workqueue("underpass", WQ_PERCPU, 0);
}

__u32 up_online_cpus(void)
{
	return num_online_cpus();
}

/* A task that takes the CPU from nobody when it wakes up. */
void up_sched_batch(struct task_struct *task)
{
	struct sched_attr attr = { .size = sizeof(attr), .sched_policy = SCHED_BATCH };

	sched_setattr_nocheck(task, &attr);
}

struct sk_buff *up_genlmsg_new(size_t payload)
{
	return genlmsg_new(payload, GFP_KERNEL);
}

/*
 * nla_put() is a chain of four calls, and an event has ten attributes, most of four
 * bytes. This is for one to four bytes, which @padded begins with; the rest is zero.
 */
int up_nla_put_small(struct sk_buff *skb, int type, int len, __u32 padded)
{
	struct nlattr *nla;

	if (unlikely(skb_tailroom(skb) < nla_total_size(sizeof(padded))))
		return -EMSGSIZE;
	nla = __skb_put(skb, nla_total_size(sizeof(padded)));
	nla->nla_type = type;
	nla->nla_len = nla_attr_size(len);
	*(__u32 *)nla_data(nla) = padded;
	return 0;
}

/* The others. */
int up_nla_put(struct sk_buff *skb, int type, int len, const void *data)
{
	struct nlattr *nla;

	if (unlikely(skb_tailroom(skb) < nla_total_size(len)))
		return -EMSGSIZE;
	nla = __skb_put(skb, nla_total_size(len));
	nla->nla_type = type;
	nla->nla_len = nla_attr_size(len);
	memset((unsigned char *)nla + nla->nla_len, 0, nla_padlen(len));
	memcpy(nla_data(nla), data, len);
	return 0;
}

void up_genlmsg_end(struct sk_buff *skb, void *hdr)
{
	genlmsg_end(skb, hdr);
}

void up_nlmsg_free(struct sk_buff *skb)
{
	nlmsg_free(skb);
}

__u32 up_skb_tailroom(const struct sk_buff *skb)
{
	return skb_tailroom(skb);
}

struct net *up_genl_info_net(const struct genl_info *info)
{
	return genl_info_net(info);
}

int up_genlmsg_unicast(struct net *net, struct sk_buff *skb, __u32 portid)
{
	return genlmsg_unicast(net, skb, portid);
}

struct net *up_dump_net(const struct sk_buff *request)
{
	return sock_net(request->sk);
}

struct module *up_this_module(void)
{
	return THIS_MODULE;
}
