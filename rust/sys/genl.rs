// SPDX-License-Identifier: GPL-2.0
//! Registers a generic netlink family and hands its requests to safe handlers.
//!
//! Invariants: policies are validated strictly by the kernel before a handler runs, so an
//! attribute has the length of its kind. Commands may run at the same time
//! (`parallel_ops`). A refusal always carries extack text.

use super::gen;
use super::message::Dump;
use super::netns::NetId;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::bindings::{self, nla_policy};
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::prelude::*;

pub use super::request::{Refusal, Request};

/// What an attribute holds. Not every version of the family has all kinds.
#[allow(dead_code)]
#[derive(Clone, Copy)]
pub enum Kind {
    /// A u16 within a range.
    U16 {
        /// The least value.
        min: u16,
        /// The largest value.
        max: u16,
    },
    /// A u32 within a range.
    U32 {
        /// The least value.
        min: u32,
        /// The largest value.
        max: u32,
    },
    /// A u64, sent in 4 or 8 bytes.
    Uint,
    /// Bytes, `max` at the most.
    Binary {
        /// Their largest number.
        max: u16,
    },
    /// Present or not.
    Flag,
}

/// One line of a policy.
#[derive(Clone, Copy)]
pub struct Attr {
    /// The attribute.
    pub id: u16,
    /// What it holds.
    pub kind: Kind,
}

/// A command's handler.
pub trait Do {
    /// Its number.
    const CMD: u8;
    /// Its attributes.
    const POLICY: &'static [Attr];
    /// Carries it out. A refusal must have changed nothing.
    fn run(request: &Request<'_>) -> Result<(), Refusal>;
}

/// The handler of a dump of what `Do` shows one of.
pub trait List: Do {
    /// Writes objects after `dump.last`, in order, until one fails with EMSGSIZE.
    fn fill(dump: &mut Dump<'_>) -> Result;
}

/// The kernel's way into a command.
///
/// # Safety
///
/// `info` is a validated request of the family.
unsafe extern "C" fn doit<C: Do>(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    let Some(info) = NonNull::new(info) else {
        return EINVAL.to_errno();
    };
    // SAFETY: valid through this call; the kernel validated its attributes by the policy of `C`.
    let request = unsafe { Request::new(info, max_attr(C::POLICY)) };
    match request.check_version().and_then(|()| C::run(&request)) {
        Ok(()) => 0,
        Err(refusal) => request.refuse(&refusal),
    }
}

/// The kernel's way into a dump.
///
/// # Safety
///
/// `skb` is the message to fill and `cb` the state of a dump of the family.
unsafe extern "C" fn dumpit<L: List>(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> c_int {
    let Some(skb_ptr) = NonNull::new(skb) else {
        return EINVAL.to_errno();
    };
    // SAFETY: netlink_dump() passes a valid control block, whose request has a generic netlink
    // header behind its own, and a place for words, which are static. The family was
    // registered before.
    unsafe {
        let header = (*cb).nlh.add(1).cast::<bindings::genlmsghdr>();
        if u32::from((*header).version) != (*FAMILY.get()).version {
            if let Some(extack) = (*cb).extack.as_mut() {
                extack._msg = c"this module speaks another version of the family".as_char_ptr();
            }
            return EPROTO.to_errno();
        }
    }
    // SAFETY: netlink_dump() passes a valid control block and message. The first of `args`
    // is ours between calls, zero at first.
    let (done, len) = unsafe {
        let request = (*cb).skb;
        let mut last = (*cb).__bindgen_anon_1.args[0] as u32;
        let mut dump = Dump {
            skb: skb_ptr,
            portid: requester(request),
            seq: (*(*cb).nlh).nlmsg_seq,
            net: NetId::new(gen::up_dump_net(request)),
            last: &mut last,
        };
        let result = L::fill(&mut dump);
        (*cb).__bindgen_anon_1.args[0] = last as kernel::ffi::c_long;
        (result, (*skb).len)
    };
    match done {
        Err(e) if e != EMSGSIZE => e.to_errno(),
        // A full part goes out and the dump goes on; an empty one ends it, or could
        // not hold even one object.
        Err(_) if len == 0 => EMSGSIZE.to_errno(),
        _ => len as c_int,
    }
}

/// The netlink port that asked for a dump.
///
/// # Safety
///
/// `skb` is a valid netlink request.
unsafe fn requester(skb: *const bindings::sk_buff) -> u32 {
    // SAFETY: netlink keeps its control block at the start of `cb` (NETLINK_CB).
    unsafe { (*(&raw const (*skb).cb).cast::<bindings::netlink_skb_parms>()).portid }
}

fn max_attr(policy: &[Attr]) -> u16 {
    policy.iter().map(|a| a.id).max().unwrap_or(0)
}

pub(super) struct FamilyCell(UnsafeCell<bindings::genl_family>);

// SAFETY: written before registration only, by module init, which runs alone.
unsafe impl Sync for FamilyCell {}

impl FamilyCell {
    pub(super) fn get(&self) -> *mut bindings::genl_family {
        self.0.get()
    }
}

pub(super) static FAMILY: FamilyCell = FamilyCell(UnsafeCell::new(
    // SAFETY: plain C data for which all zero means "unset".
    unsafe { MaybeUninit::zeroed().assume_init() },
));

/// The table of a family's operations, under construction.
pub struct Family {
    privilege: u32,
    ops: KVec<bindings::genl_split_ops>,
    policies: KVec<KVec<nla_policy>>,
    ranges: KVec<KBox<bindings::netlink_range_validation>>,
}

impl Family {
    /// One without operations, which will need CAP_NET_ADMIN of some user namespace, or of the first one.
    pub fn new(user_namespaces: bool) -> Self {
        // CAP_NET_ADMIN in the user namespace that owns the caller's network namespace, or in the first one.
        let privilege = match user_namespaces {
            true => bindings::GENL_UNS_ADMIN_PERM,
            false => bindings::GENL_ADMIN_PERM,
        };
        Self {
            privilege,
            ops: KVec::new(),
            policies: KVec::new(),
            ranges: KVec::new(),
        }
    }

    /// Adds a command. Operations are added in the order of their numbers, a command
    /// before its dump.
    pub fn add<C: Do>(mut self) -> Result<Self> {
        let mut op = self.op(C::CMD, bindings::GENL_CMD_CAP_DO);
        op.__bindgen_anon_1.__bindgen_anon_1.doit = Some(doit::<C>);
        if !C::POLICY.is_empty() {
            let (policy, max) = self.policy(C::POLICY)?;
            op.policy = policy;
            op.maxattr = max;
        }
        self.ops.push(op, GFP_KERNEL)?;
        Ok(self)
    }

    /// Adds a dump.
    pub fn add_list<L: List>(mut self) -> Result<Self> {
        let mut op = self.op(L::CMD, bindings::GENL_CMD_CAP_DUMP);
        op.__bindgen_anon_1.__bindgen_anon_2.dumpit = Some(dumpit::<L>);
        self.ops.push(op, GFP_KERNEL)?;
        Ok(self)
    }

    fn op(&self, cmd: u8, cap: u32) -> bindings::genl_split_ops {
        // SAFETY: plain C data for which all zero means "unset".
        let mut op: bindings::genl_split_ops = unsafe { MaybeUninit::zeroed().assume_init() };
        op.cmd = cmd;
        op.flags = (self.privilege | cap) as u8;
        op
    }

    fn policy(&mut self, attrs: &[Attr]) -> Result<(*const nla_policy, u32)> {
        let max = max_attr(attrs);
        let mut table = KVec::with_capacity(usize::from(max).saturating_add(1), GFP_KERNEL)?;
        for id in 0..=max {
            let line = attrs.iter().find(|a| a.id == id);
            table.push(self.line(line.map(|a| a.kind))?, GFP_KERNEL)?;
        }
        // The buffer stays where it is when the vector moves.
        let ptr = table.as_ptr();
        self.policies.push(table, GFP_KERNEL)?;
        Ok((ptr, max.into()))
    }

    fn line(&mut self, kind: Option<Kind>) -> Result<nla_policy> {
        // SAFETY: plain C data; all zero is NLA_UNSPEC, which strict validation refuses.
        let mut line: nla_policy = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut range = None;
        line.type_ = match kind {
            None => bindings::NLA_UNSPEC,
            Some(Kind::U16 { min, max }) => {
                range = Some((u64::from(min), u64::from(max), u64::from(u16::MAX)));
                bindings::NLA_U16
            }
            Some(Kind::U32 { min, max }) => {
                range = Some((u64::from(min), u64::from(max), u64::from(u32::MAX)));
                bindings::NLA_U32
            }
            Some(Kind::Uint) => bindings::NLA_UINT,
            Some(Kind::Binary { max }) => {
                line.len = max;
                bindings::NLA_BINARY
            }
            Some(Kind::Flag) => bindings::NLA_FLAG,
        } as u8;
        if let Some((min, max, _)) = range.filter(|&(min, max, full)| min > 0 || max < full) {
            let range = KBox::new(bindings::netlink_range_validation { min, max }, GFP_KERNEL)?;
            line.validation_type = bindings::nla_policy_validation_NLA_VALIDATE_RANGE_PTR as u8;
            line.__bindgen_anon_1.range = &raw const *range;
            self.ranges.push(range, GFP_KERNEL)?;
        }
        Ok(line)
    }

    /// Registers it under `name` (NUL at its end). To be called once, by module init.
    pub fn register(self, name: &[u8], version: u8) -> Result<Registration> {
        let n = u8::try_from(self.ops.len()).map_err(|_| EINVAL)?;
        // SAFETY: module init runs alone, and the family is not registered yet. The tables
        // live in `self`, which the registration keeps until after it ended.
        unsafe {
            let family = &mut *FAMILY.get();
            for (to, from) in family.name.iter_mut().zip(name) {
                *to = *from as kernel::ffi::c_char;
            }
            family.version = version.into();
            family.set_netnsok(1);
            family.set_parallel_ops(1);
            family.module = gen::up_this_module();
            family.split_ops = self.ops.as_ptr();
            family.n_split_ops = n;
            // All commands are of the new, strictly validated kind.
            family.resv_start_op = 1;
            to_result(bindings::genl_register_family(family))?;
        }
        Ok(Registration { _tables: self })
    }
}

/// A registered family; ends with its drop, after the last running command.
pub struct Registration {
    _tables: Family,
}

// SAFETY: the tables are only read once registered.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: registered by `register`. Running commands are waited for.
        unsafe { bindings::genl_unregister_family(FAMILY.get()) };
    }
}
