// SPDX-License-Identifier: GPL-2.0
/*
 * What an adopted socket passes on: its callbacks to nobody, neither to an upper layer protocol
 * nor to a child; its memory cgroup to a child and to what is allocated for it.
 */

#include <linux/cgroup.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <net/inet_common.h>
#include <net/inet_connection_sock.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "helpers.h"

/* The callbacks of a TCP socket that is nobody's. Written by module init alone. */
static struct up_callbacks up_plain;

int up_adopted_init(void)
{
	struct socket *sock;
	int err = sock_create_kern(&init_net, AF_INET, SOCK_STREAM, IPPROTO_TCP, &sock);

	/* It says so when there is no memory. */
	if (err)
		return err == -ENFILE ? -ENOMEM : err;
	up_sk_callbacks(sock->sk, &up_plain);
	sock_release(sock);
	return 0;
}

/* A child is a copy of its listener, locked and not seen by anybody yet. */
static void up_ulp_clone(const struct request_sock *req, struct sock *child, const gfp_t gfp)
{
	inet_csk(child)->icsk_ulp_ops = NULL;
	up_sk_set_callbacks(child, &up_plain);
}

/*
 * Takes the one place that a socket has for an upper layer protocol: TLS that came later would
 * keep our callbacks as its own. It is not registered, so nobody can ask for it by name.
 */
static const struct tcp_ulp_ops up_ulp = {
	.name = "underpass",
	.owner = THIS_MODULE,
	.clone = up_ulp_clone,
};

/* The place must be free, and the socket locked. */
void up_ulp_hold(struct sock *sk)
{
	WRITE_ONCE(inet_csk(sk)->icsk_ulp_ops, &up_ulp);
}

/* To be called a grace period after the callbacks became others: children are born under RCU. */
void up_ulp_leave(struct sock *sk)
{
	WRITE_ONCE(inet_csk(sk)->icsk_ulp_ops, NULL);
}

bool up_ulp_is_ours(const struct sock *sk)
{
	return READ_ONCE(inet_csk(sk)->icsk_ulp_ops) == &up_ulp;
}

/*
 * Who pays for what is accepted, or NULL: the task does. A thread of ours is in no group: for it
 * the listener's pays. If somebody put the thread into one, that pays: __inet_accept() would drop
 * another one unreleased.
 */
static struct mem_cgroup *up_payer_of_child(const struct sock *listener)
{
	struct mem_cgroup *memcg = NULL;

#ifdef CONFIG_MEMCG
	if (!(current->flags & PF_KTHREAD))
		return NULL;
	rcu_read_lock();
	if (mem_cgroup_is_root(mem_cgroup_from_task(current)))
		memcg = mem_cgroup_from_sk(listener);
	rcu_read_unlock();
#endif
	return memcg;
}

/*
 * kernel_accept() without waiting. What it accepts has the user of the listener, by whom routes
 * may be chosen (the kernel's threads are root), and @payer stands before __inet_accept() charges
 * buffers.
 */
static int up_accept_for(struct mem_cgroup *payer, struct socket *sock, struct socket **new)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);
	struct proto_accept_arg arg = {
		.flags = O_NONBLOCK,
		.err = -EINVAL,
		.kern = true,
	};
	struct sock *sk = sock->sk, *child;
	int err = sock_create_lite(sk->sk_family, sk->sk_type, sk->sk_protocol, new);

	if (err)
		return err;
	SOCK_INODE(*new)->i_uid = sk_uid(sk);
	child = READ_ONCE(sk->sk_prot)->accept(sk, &arg);
	if (!child) {
		sock_release(*new);
		return arg.err;
	}
	lock_sock(child);
#ifdef CONFIG_MEMCG
	if (payer) {
		css_get(&payer->css);
		child->sk_memcg = payer;
	}
#endif
	__inet_accept(sock, *new, child);
	release_sock(child);
	(*new)->ops = ops;
	__module_get(ops->owner);
	return 0;
}

int up_accept(struct socket *sock, struct socket **new)
{
	/* @sock, which the caller holds, has a reference of it. */
	struct mem_cgroup *payer = up_payer_of_child(sock->sk), *former;
	int err;

	if (!payer)
		return up_accept_for(NULL, sock, new);
	/* For objects: the child, which was made when nobody paid, and its struct socket. */
	former = set_active_memcg(payer);
	err = up_accept_for(payer, sock, new);
	set_active_memcg(former);
	return err;
}

/* The memory cgroup that @sk is charged to, with a reference, or NULL. It never changes in use. */
struct mem_cgroup *up_payer_get(const struct sock *sk)
{
	struct mem_cgroup *memcg = NULL;

#ifdef CONFIG_MEMCG
	memcg = mem_cgroup_from_sk(sk);
	if (memcg)
		css_get(&memcg->css);
#endif
	return memcg;
}

void up_payer_put(struct mem_cgroup *memcg)
{
	mem_cgroup_put(memcg);
}

/* Who pays for what this task allocates with __GFP_ACCOUNT; returns who did. */
struct mem_cgroup *up_payer_set(struct mem_cgroup *memcg)
{
	return set_active_memcg(memcg);
}
