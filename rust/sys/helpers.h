/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust cannot reach by itself: inline functions, fields of structures that
 * bindgen must not lay out (struct sock and its kin), and values of macros.
 * No logic lives in helpers.c; what works on a stream's queues is in stream.c, and what an
 * adopted socket passes on in adopted.c.
 * bindgen reads only these declarations.
 */
#ifndef UNDERPASS_HELPERS_H
#define UNDERPASS_HELPERS_H

#include <linux/types.h>

struct bio_vec;
struct genl_info;
struct net;
struct page;
struct sk_buff;
struct sock;
struct socket;
struct task_struct;
struct workqueue_struct;

/* Values of the kernel's own, checked in helpers.c. */
#define UP_MSG_SEND 0x4040	/* MSG_DONTWAIT | MSG_NOSIGNAL */
#define UP_MSG_MORE 0x8000
#define UP_SOCK_STREAM 1
#define UP_TCP_ESTABLISHED 1
#define UP_TCP_FIN_WAIT1 4
#define UP_TCP_CLOSE 7
#define UP_TCP_CLOSE_WAIT 8
#define UP_TCP_LISTEN 10
#define UP_PAGE_SIZE 4096

typedef void (*up_sk_cb)(struct sock *sk);

struct up_callbacks {
	up_sk_cb data_ready;
	up_sk_cb state_change;
	up_sk_cb write_space;
	up_sk_cb error_report;
};

/* Takes up to max bytes from offset on; says how many it took. */
typedef int (*up_actor)(void *arg, struct sk_buff *skb, __u32 offset, size_t max);

/* What of a socket's receiving half can be read now. */
struct up_rx {
	__u32 inq;	/* bytes that can be read, FIN not counted */
	__u8 state;	/* TCP_* */
	__u8 fin;	/* the peer's FIN was received in sequence */
	__u8 urgent;	/* urgent data, at which tcp_read_sock() stops for ever */
};

struct up_kind {
	struct net *net;
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u8 state;
	__u8 has_ulp;	/* somebody else's */
	__u8 taken;	/* by somebody's sk_user_data, or not let go by us yet */
};

void up_lock_sock(struct sock *sk);
void up_release_sock(struct sock *sk);
void up_callback_lock(struct sock *sk);
void up_callback_unlock(struct sock *sk);
void up_sk_kind(struct sock *sk, struct up_kind *kind);
void up_sk_callbacks(struct sock *sk, struct up_callbacks *cb);
void up_sk_set_callbacks(struct sock *sk, const struct up_callbacks *cb);
void *up_sk_user_data(struct sock *sk);
void up_sk_set_user_data(struct sock *sk, void *user);
__u32 up_sk_err(struct sock *sk);
bool up_sk_want_write(struct sock *sk);
int up_send_pages(struct socket *sock, const struct bio_vec *ranges, __u32 count,
		  size_t bytes);
int up_sk_abort(struct sock *sk, int err);
void up_sk_set_nodelay(struct sock *sk);
void up_sk_no_options(struct sock *sk);
__u32 up_sk_backlog(const struct sock *sk);

int up_adopted_init(void);
void up_ulp_hold(struct sock *sk);
void up_ulp_leave(struct sock *sk);
bool up_ulp_is_ours(const struct sock *sk);
int up_accept(struct socket *sock, struct socket **new);
struct mem_cgroup *up_payer_get(const struct sock *sk);
void up_payer_put(struct mem_cgroup *memcg);
struct mem_cgroup *up_payer_set(struct mem_cgroup *memcg);

void up_rx_status(struct sock *sk, struct up_rx *rx);
struct sk_buff *up_rx_first(struct sock *sk);
struct sk_buff *up_rx_next(struct sock *sk, struct sk_buff *skb);
int up_rx_read(struct sock *sk, void *arg, size_t max, up_actor actor);
int up_rx_take(struct sock *sk, __u32 *ahead, void *arg, size_t max, up_actor actor);
void up_rx_done(struct sock *sk, __u32 *ahead);
void up_rx_unpin(struct socket *sock);
__s32 up_rx_offset(struct sock *sk, struct sk_buff *skb, __u32 ahead);

__u32 up_skb_len(const struct sk_buff *skb);
struct sk_buff *up_skb_clone(struct sk_buff *skb);
__u32 up_skb_headlen(const struct sk_buff *skb);
__u32 up_skb_nr_frags(const struct sk_buff *skb);
struct page *up_skb_frag(const struct sk_buff *skb, __u32 i, __u32 *off, __u32 *len);
struct sk_buff *up_skb_frag_list(const struct sk_buff *skb);
struct sk_buff *up_skb_next(const struct sk_buff *skb);
bool up_skb_readable(const struct sk_buff *skb);
void up_get_page(struct page *page);
void up_put_page(struct page *page);
struct page *up_alloc_page(void);
void *up_page_address(struct page *page);

bool up_module_try_get(void);
void up_module_get(void);
void up_module_put(void);
struct workqueue_struct *up_alloc_workqueue(void);
__u32 up_online_cpus(void);
void up_sched_batch(struct task_struct *task);

struct sk_buff *up_genlmsg_new(size_t payload);
int up_nla_put_small(struct sk_buff *skb, int type, int len, __u32 padded);
int up_nla_put(struct sk_buff *skb, int type, int len, const void *data);
void up_genlmsg_end(struct sk_buff *skb, void *hdr);
void up_nlmsg_free(struct sk_buff *skb);
__u32 up_skb_tailroom(const struct sk_buff *skb);
struct net *up_genl_info_net(const struct genl_info *info);
int up_genlmsg_unicast(struct net *net, struct sk_buff *skb, __u32 portid);
struct net *up_dump_net(const struct sk_buff *request);
struct module *up_this_module(void);

#endif
