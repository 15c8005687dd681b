// SPDX-License-Identifier: GPL-2.0
//! In which order the back-ends of a pool are asked: three methods, all with weights.
//!
//! Invariant: the order holds each of the candidates exactly once.
//! It must not know about health: the caller names the candidates.

use std::cmp::Reverse;

use crate::address::Address;
use crate::config::{Balance, Member};

/// The state that choosing needs.
#[derive(Debug)]
pub struct Balancer {
    method: Balance,
    members: Vec<Load>,
}

#[derive(Debug)]
struct Load {
    weight: u32,
    /// For turns: how far it is behind (or ahead of) its share.
    credit: i64,
    /// Goes round with each of its turns.
    turns: u32,
    /// Requests that it has now.
    outstanding: u64,
    /// Stands for its address in the hash.
    seed: u64,
}

impl Balancer {
    /// For these back-ends, known by their index.
    pub fn new(method: Balance, members: &[Member]) -> Self {
        let load = |member: &Member| Load {
            weight: member.weight,
            credit: 0,
            turns: 0,
            outstanding: 0,
            seed: seed(&member.address),
        };
        Self {
            method,
            members: members.iter().map(load).collect(),
        }
    }

    /// Puts the candidates in the order they are asked. `key` is looked at by the hash only.
    pub fn order(&mut self, candidates: &mut Vec<usize>, key: u64) {
        match self.method {
            Balance::RoundRobin => {
                let chosen = self.take_turn(candidates);
                self.sort_by_credit(candidates);
                let others = candidates.iter().copied().filter(|&at| Some(at) != chosen);
                let stand_in = self.stand_in(chosen, others);
                to_front(candidates, stand_in);
                to_front(candidates, chosen);
            }
            Balance::LeastOutstanding => {
                self.sort_by_credit(candidates);
                candidates.sort_by(|&a, &b| self.compare_load(a, b));
                // Who is equal to the first takes turns with it.
                let mut best = candidates.clone();
                if let Some(&first) = candidates.first() {
                    best.retain(|&other| self.compare_load(first, other).is_eq());
                }
                let chosen = self.take_turn(&best);
                to_front(candidates, chosen);
            }
            Balance::Hash(_) => {
                let score = |&at: &usize| self.members.get(at).map_or(0.0, |m| m.score(key));
                // Scores are never NaN: see there.
                candidates.sort_by(|a, b| score(b).total_cmp(&score(a)));
            }
        }
    }

    /// It was given a request.
    pub fn began(&mut self, member: usize) {
        if let Some(load) = self.members.get_mut(member) {
            load.outstanding += 1;
        }
    }

    /// It is done with a request.
    pub fn ended(&mut self, member: usize) {
        if let Some(load) = self.members.get_mut(member) {
            load.outstanding = load.outstanding.saturating_sub(1);
        }
    }

    /// Requests that it has now.
    pub fn outstanding(&self, member: usize) -> u64 {
        self.members.get(member).map_or(0, |load| load.outstanding)
    }

    /// Smooth weighted round robin: everybody earns their weight, the richest is chosen and
    /// pays for all. So the chosen one comes last in what follows, and nobody has two turns
    /// at once who could have them apart.
    fn take_turn(&mut self, candidates: &[usize]) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(i64, usize)> = None;
        for &at in candidates {
            let load = self.members.get_mut(at)?;
            total += i64::from(load.weight);
            load.credit += i64::from(load.weight);
            if best.is_none_or(|(credit, _)| load.credit > credit) {
                best = Some((load.credit, at));
            }
        }
        let (_, chosen) = best?;
        self.members.get_mut(chosen)?.credit -= total;
        Some(chosen)
    }

    /// Who is asked if the chosen one does not take it. Turns repeat, and so would this: the golden section goes
    /// through the others by their weights, whichever the number of turns is.
    fn stand_in(
        &mut self,
        chosen: Option<usize>,
        others: impl Iterator<Item = usize> + Clone,
    ) -> Option<usize> {
        const GOLDEN: u32 = 2_654_435_769; // 2^32 by it
        let chosen = self.members.get_mut(chosen?)?;
        let part = u64::from(chosen.turns);
        chosen.turns = chosen.turns.wrapping_add(GOLDEN);
        let weight = |at: usize| u64::from(self.members.get(at).map_or(0, |load| load.weight));
        let total: u64 = others.clone().map(weight).sum();
        // Weights are below 2^16, members, too.
        let mut left = (part * total) >> 32;
        for at in others {
            match left.checked_sub(weight(at)) {
                Some(less) => left = less,
                None => return Some(at),
            }
        }
        None
    }

    fn sort_by_credit(&self, candidates: &mut [usize]) {
        candidates.sort_by_key(|&at| Reverse(self.members.get(at).map(|load| load.credit)));
    }

    /// Compares what each has for its weight. Not what it would have with one more request: the heaviest would
    /// then be alone first wherever few requests are under way, and the others get none.
    fn compare_load(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let share = |one: usize, other: usize| {
            let outstanding = self.members.get(one).map_or(0, |load| load.outstanding);
            let weight = self.members.get(other).map_or(1, |load| load.weight);
            u128::from(outstanding) * u128::from(weight)
        };
        share(a, b).cmp(&share(b, a))
    }
}

impl Load {
    /// Weighted rendezvous: of independent exponential times with these rates, the chance
    /// that one is the first is its weight's share. Without one of the others, all the
    /// rest keep their scores: only its own keys move.
    fn score(&self, key: u64) -> f64 {
        let hash = mix(key ^ self.seed);
        // The upper 53 bits, within (0, 1): neither end has a finite logarithm that is
        // not zero.
        let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        f64::from(self.weight) / -unit.ln()
    }
}

fn to_front(candidates: &mut Vec<usize>, chosen: Option<usize>) {
    if let Some(chosen) = chosen {
        candidates.retain(|&other| other != chosen);
        candidates.insert(0, chosen);
    }
}

fn seed(address: &Address) -> u64 {
    mix(hash(address.to_string().as_bytes()))
}

/// FNV-1a: the same for every router, of every version, so that they agree.
pub fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The finaliser of SplitMix64: each bit of the input changes about half of the output's.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::config::HashBy;

    fn balancer(method: Balance, weights: &[u32]) -> Balancer {
        let member = |(at, &weight): (usize, &u32)| Member {
            address: Address::Tcp(([127, 0, 0, 1], at as u16).into()),
            weight,
        };
        let members: Vec<_> = weights.iter().enumerate().map(member).collect();
        Balancer::new(method, &members)
    }

    fn in_order(balancer: &mut Balancer, mut candidates: Vec<usize>, key: u64) -> Vec<usize> {
        balancer.order(&mut candidates, key);
        candidates
    }

    fn all(balancer: &Balancer) -> Vec<usize> {
        (0..balancer.members.len()).collect()
    }

    #[test]
    fn turns_go_round_smoothly_by_weight() {
        let mut equal = balancer(Balance::RoundRobin, &[1, 1, 1]);
        let mut turns = || in_order(&mut equal, vec![0, 1, 2], 0);
        assert_eq!(
            [turns(), turns(), turns()],
            [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
        );
        // The example of nginx's commit 52327e0627f4 that brought this method.
        let mut uneven = balancer(Balance::RoundRobin, &[5, 1, 1]);
        let firsts: Vec<_> = (0..14)
            .map(|_| in_order(&mut uneven, vec![0, 1, 2], 0)[0])
            .collect();
        assert_eq!(firsts, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn the_fewest_outstanding_by_weight_and_turns_among_equals() {
        let mut equal = balancer(Balance::LeastOutstanding, &[1, 1, 1]);
        let firsts: Vec<_> = (0..6)
            .map(|_| in_order(&mut equal, vec![0, 1, 2], 0)[0])
            .collect();
        assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
        for member in [0, 0, 1] {
            equal.began(member);
        }
        assert_eq!(in_order(&mut equal, vec![0, 1, 2], 0), [2, 1, 0]);
        equal.ended(0);
        equal.ended(0);
        assert_eq!(in_order(&mut equal, vec![0, 1], 0), [0, 1]);
        // Three quarters for the one with weight 3.
        let mut uneven = balancer(Balance::LeastOutstanding, &[3, 1]);
        let mut given = [0, 0];
        for _ in 0..40 {
            let first = in_order(&mut uneven, vec![0, 1], 0)[0];
            uneven.began(first);
            given[first] += 1;
        }
        assert_eq!(given, [30, 10]);
    }

    #[test]
    fn where_few_ask_the_lighter_ones_have_their_turns_too() {
        for under_way in 1..=4 {
            let mut uneven = balancer(Balance::LeastOutstanding, &[3, 1]);
            let (mut given, mut runs) = ([0, 0], VecDeque::new());
            for _ in 0..400 {
                let first = in_order(&mut uneven, vec![0, 1], 0)[0];
                given[first] += 1;
                uneven.began(first);
                runs.push_back(first);
                if runs.len() == under_way {
                    runs.pop_front().into_iter().for_each(|at| uneven.ended(at));
                }
            }
            assert!((100..=200).contains(&given[1]), "{under_way}: {given:?}");
        }
    }

    #[test]
    fn a_key_stays_where_it_is_and_shares_follow_weights() {
        let mut all_up = balancer(Balance::Hash(HashBy::Client), &[1, 2, 3, 4]);
        let mut count = [0u32; 4];
        for n in 0..40_000u32 {
            let key = hash(&n.to_be_bytes());
            let all = all(&all_up);
            let order = in_order(&mut all_up, all, key);
            count[order[0]] += 1;
            // Without one: its keys go where they would have gone next; no other moves.
            for gone in 0..4 {
                let rest: Vec<_> = (0..4).filter(|&at| at != gone).collect();
                let expected: Vec<_> = order.iter().copied().filter(|&at| at != gone).collect();
                assert_eq!(in_order(&mut all_up, rest, key), expected);
            }
        }
        for (at, &count) in count.iter().enumerate() {
            let share = 4_000 * (at as u32 + 1);
            assert!(
                count.abs_diff(share) < share / 20,
                "{at}: {count} of {share}"
            );
        }
    }

    #[test]
    fn every_order_holds_each_candidate_once() {
        for method in [
            Balance::RoundRobin,
            Balance::LeastOutstanding,
            Balance::Hash(HashBy::Client),
        ] {
            let mut balancer = balancer(method, &[1, 1_000, 7, 1]);
            for n in 0..1_000u64 {
                let candidates: Vec<_> = (0..4).filter(|at| (n >> at) & 1 == 1).collect();
                let mut order = in_order(&mut balancer, candidates.clone(), mix(n));
                order.sort_unstable();
                assert_eq!(order, candidates);
                balancer.began((n % 4) as usize);
            }
            assert!(balancer
                .members
                .iter()
                .all(|load| load.credit.abs() < 100_000));
        }
    }
}
