// SPDX-License-Identifier: GPL-2.0
//! The policy of the configuration file: the first route that fits names a pool, whose
//! healthy back-ends are asked in the order of its balancing method.
//!
//! Invariant: a plan names at least one back-end: if none of a pool is healthy, all are asked as
//! if they were. Locks are held for a few steps in memory only.

use foldhash::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::balance::{hash, Balancer};
use super::{Attempt, Outcome, Plan, Policy};
use crate::address::Address;
use crate::config::{Balance, HashBy, Limits, Pool, Route, Terms};
use crate::health::{Change, Health, Usable};
use crate::http::problem::{self, Problem};
use crate::http::Request;
use crate::say;

/// The policy of a configuration.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Route>,
    groups: Vec<Group>,
}

/// A pool and what is known about it.
#[derive(Debug)]
struct Group {
    pool: Arc<Pool>,
    index: HashMap<Address, usize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    balancer: Balancer,
    health: Vec<Health>,
    /// Of the last request, for the room that it takes.
    order: Vec<usize>,
}

/// A back-end of a pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// The pool's name.
    pub pool: Arc<str>,
    /// Where it is.
    pub address: Address,
    /// It is not left out.
    pub is_up: bool,
    /// Requests that it has.
    pub outstanding: u64,
}

impl Table {
    /// A table of routes, of which the first that fits is taken, to these pools.
    pub fn new(routes: Vec<Route>, pools: &[Arc<Pool>]) -> Self {
        Self {
            routes,
            groups: pools.iter().map(Group::new).collect(),
        }
    }

    /// The pools, in their order.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.groups.iter().map(|group| &group.pool)
    }

    /// All back-ends, by pool, in their order.
    pub fn members(&self, now: Instant) -> Vec<MemberState> {
        self.groups
            .iter()
            .flat_map(|group| group.members(now))
            .collect()
    }

    /// A check of a back-end has ended; `why` is what was wrong if it was not good.
    pub fn checked(&self, pool: usize, backend: &Address, outcome: Result<(), String>) {
        let Some(group) = self.groups.get(pool) else {
            return;
        };
        let (Some(member), Some(rules)) = (group.index.get(backend), &group.pool.check) else {
            return;
        };
        let mut state = group.lock();
        let health = state.health.get_mut(*member);
        let change = health.and_then(|health| health.checked(outcome.is_ok(), rules));
        drop(state);
        let why = outcome.err().map(|why| format!(": {why}"));
        group.tell(backend, change, &why.unwrap_or_default());
    }
}

impl Policy for Table {
    fn plan(&self, request: &Request, client: SocketAddr, now: Instant) -> Result<Plan, Problem> {
        let client = client.ip();
        let believed = |route: &Route, name: &str| {
            let forwarded = &route.terms.rewrite.forwarded;
            forwarded.believes(name, client)
        };
        let fits = |route: &&Route| {
            let believed = |name: &str| believed(route, name);
            route.matches.fits(request, believed)
        };
        let route = self.routes.iter().find(fits).ok_or(problem::NO_ROUTE)?;
        let group = self.groups.get(route.pool).ok_or(problem::NO_ROUTE)?;
        let key = group.key(request, client, |name| believed(route, name));
        Ok(Plan {
            backends: group.order(key, now),
            terms: route.terms.clone(),
            link: group.pool.link.clone(),
            tag: route.pool,
        })
    }

    fn resumed(&self, mark: u32, all: &Limits) -> Option<Arc<Terms>> {
        let fits = |terms: &&Arc<Terms>| terms.rewrite.mark() == mark;
        let terms = self.routes.iter().map(|route| &route.terms);
        // Several may have it. Whoever ran under the most patient one is not to be cut off.
        let patience = |terms: &&Arc<Terms>| match &terms.limits {
            Some(own) => own.response,
            None => all.response,
        };
        terms.filter(fits).max_by_key(patience).cloned()
    }

    fn asked(&self, attempt: &Attempt) {
        if let Some((group, member)) = self.find(attempt) {
            let mut state = group.lock();
            state.balancer.began(member);
            if let Some(health) = state.health.get_mut(member) {
                health.asked(attempt.began);
            }
        }
    }

    fn ended(&self, attempt: &Attempt, outcome: Outcome, now: Instant) {
        if let Some((group, member)) = self.find(attempt) {
            let change = group.ended(member, attempt.began, outcome, now);
            group.tell(&attempt.backend, change, "");
        }
    }
}

impl Table {
    fn find(&self, attempt: &Attempt) -> Option<(&Group, usize)> {
        let group = self.groups.get(attempt.tag)?;
        Some((group, *group.index.get(&attempt.backend)?))
    }
}

impl Group {
    fn new(pool: &Arc<Pool>) -> Self {
        let members = pool.members.iter().enumerate();
        Self {
            pool: pool.clone(),
            index: members.map(|(at, m)| (m.address.clone(), at)).collect(),
            state: Mutex::new(State {
                balancer: Balancer::new(pool.balance.clone(), &pool.members),
                health: pool.members.iter().map(|_| Health::default()).collect(),
                order: Vec::new(),
            }),
        }
    }

    fn members(&self, now: Instant) -> Vec<MemberState> {
        let state = self.lock();
        let members = self.pool.members.iter().zip(&state.health).enumerate();
        let state = members.map(|(at, (member, health))| MemberState {
            pool: self.pool.name.clone(),
            address: member.address.clone(),
            is_up: health.usable(now) != Usable::No,
            outstanding: state.balancer.outstanding(at),
        });
        state.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, request: &Request, client: IpAddr, believed: impl Fn(&str) -> bool) -> u64 {
        let Balance::Hash(by) = &self.pool.balance else {
            return 0;
        };
        let found = match by {
            HashBy::Client => None,
            HashBy::Header(name) => request.values(name).next().filter(|_| believed(name)),
            HashBy::Cookie(name) => request.cookie(name),
        };
        match (found, client.to_canonical()) {
            (Some(value), _) => hash(value),
            (None, IpAddr::V4(ip)) => hash(&ip.octets()),
            (None, IpAddr::V6(ip)) => hash(&ip.octets()),
        }
    }

    fn order(&self, key: u64, now: Instant) -> Vec<Address> {
        // Who is alone is asked, well or not, and is never left out, so never on trial.
        if let [only] = &*self.pool.members {
            return vec![only.address.clone()];
        }
        let mut state = self.lock();
        let State {
            balancer,
            health,
            order,
        } = &mut *state;
        let is = |at: usize, wanted| health.get(at).is_some_and(|h| h.usable(now) == wanted);
        let members = 0..health.len();
        order.clear();
        order.extend(members.clone().filter(|&at| !is(at, Usable::No)));
        let rules = self.pool.eject.as_ref();
        let fails = |h: &Health| rules.is_some_and(|rules| h.is_failing(rules));
        let well = |h: &Health| h.usable(now) == Usable::Yes && !fails(h);
        let any_well = health.iter().any(well);
        if !any_well {
            // Each may have recovered, also before its time is over.
            order.clear();
            order.extend(members);
        }
        balancer.order(order, key);
        if any_well {
            // Who is on trial is asked first, or not at all.
            let first = order.first().copied();
            order.retain(|&at| Some(at) == first || !is(at, Usable::Trial));
        }
        let address = |at: usize| self.pool.members.get(at).map(|m| m.address.clone());
        order.iter().copied().filter_map(address).collect()
    }

    fn ended(
        &self,
        member: usize,
        began: Instant,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Change> {
        let mut state = self.lock();
        state.balancer.ended(member);
        let rules = self.pool.eject.as_ref()?;
        let failed = match outcome {
            Outcome::Answered(status) => rules.status.contains(&status),
            Outcome::Declined(_) => false,
            Outcome::Failed(_) => true,
            Outcome::Abandoned => return None,
        };
        let others = state.health.iter().enumerate();
        let last = !others
            .filter(|&(at, _)| at != member)
            .any(|(_, health)| health.usable(now) == Usable::Yes);
        let health = state.health.get_mut(member)?;
        match failed {
            true => health.failed(began, now, rules, last),
            false => health.succeeded(began, now),
        }
    }

    /// A line for whoever watches the router.
    fn tell(&self, backend: &Address, change: Option<Change>, why: &str) {
        if let Some(change) = change {
            say!("pool {}: {backend} is {change}{why}", self.pool.name);
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
