"""What kernel symbols are for, by their names: the first that fits."""

import re

CATEGORIES = [(name, re.compile(words)) for name, words in (
    ("netlink", r"netlink|genl|^nla_|^__nla|nlmsg"),
    ("copies", r"^rep_|copy|memcpy|memset|memmove|^clear_page|iov_iter|import_iovec"),
    ("TCP, IP, devices", r"tcp|^_*ip_|^_*inet|netif|napi|^_*net_|^_*dev_|veth|validate_xmit|^_*sk_|^_*sock_|^lock_sock|^release_sock|"
                         r"qdisc|backlog|cubic|ipv4|dst_|neigh|^eth_|^nf_|^fib|^_*local_bh|softirq|csum|bpf|rtt|pfifo|fq_"),
    ("buffers", r"skb|^sk_page_frag|^pskb"),
    ("memory", r"kmem|kmalloc|kfree|krealloc|slab|alloc|page|folio|free|memcg|obj_cgroup|check_object|virt_addr|_lru|zone"),
    ("changes of task", r"sched|switch|wake|ttwu|enqueue|dequeue|pick_|update_curr|update_load|_rq|task|worker|process_one_work|"
                        r"queue_work|workqueue|^kick_pool|pwq|psi|reweight|set_next|put_prev|_avg|entity|cfs|place_|fpu|resched|idle"),
    ("timers", r"timer|ktime|tick|clock|jiffies|timekeeping|tsc"),
    ("epoll, system calls", r"^_*ep_|epoll|poll|syscall|entry|sys_|apparmor|^aa_|security|capable|fput|fdget|fget|fd|futex|splice|pipe|"
                            r"vfs|rw_verify|read|write|send|recv|iovec|exit_to|irqentry"),
    ("locks", r"spin|mutex|rcu|lock|list_|up_read|down_read|preempt"),
)]


def category(thing, symbol):
    """Of a symbol in `kernel`, a module, or a file that a process has mapped."""
    if thing == "kernel":
        return next((name for name, words in CATEGORIES if words.search(symbol)), "rest of the kernel")
    if thing == "underpass":
        return "the module"
    # Other modules are those of veth and nftables.
    return "user space" if "/" in thing or thing == "user space" else "TCP, IP, devices"
