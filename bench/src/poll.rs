// SPDX-License-Identifier: GPL-2.0
//! Waiting for many sockets: level-triggered epoll, the cheapest for programs that read a large
//! buffer once per turn and do not come back to learn that there is no more.

use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
pub use rustix::event::epoll::EventFlags as Interest;
use rustix::io::{retry_on_intr, Result};

/// Sockets, each known by a number.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    /// Of no sockets yet.
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(256),
        })
    }

    /// Waits for this socket, too. It is forgotten when it is closed.
    pub fn add(&self, socket: impl AsFd, number: u64, interest: Interest) -> Result<()> {
        epoll::add(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(number),
            interest,
        )
    }

    /// Waits for something else of this socket.
    pub fn change(&self, socket: impl AsFd, number: u64, interest: Interest) -> Result<()> {
        epoll::modify(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(number),
            interest,
        )
    }

    /// The numbers of the sockets that are ready, and what for, as soon as there is one.
    pub fn wait(&mut self) -> Result<Vec<(u64, Interest)>> {
        let Self { epoll, events } = self;
        events.clear();
        retry_on_intr(|| epoll::wait(&*epoll, spare_capacity(events), None))?;
        Ok(events.iter().map(|e| (e.data.u64(), e.flags)).collect())
    }
}
