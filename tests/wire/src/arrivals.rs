// SPDX-License-Identifier: GPL-2.0
//! Terms on which a listener accepts, as they are given, shown and counted. What becomes of
//! clients beside them is in the router's tests of engines.

use crate::client::{u32, Failure, Message};
use crate::numbers::errno::ERANGE;
use crate::numbers::{cmd, listener, queue, stats};
use crate::refusals::all;
use crate::scene::{Scene, GET};
use crate::sockets::{connect, end, End};
use crate::tap::Tap;

/// Checks of this file.
pub const PLAN: u32 = 9;

/// So long that a client which sends at once is in time, also on a slow machine.
const IN_TIME: u32 = 1_500;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let [head_ms, connections, _] = terms(&shown(&mut scene, None)?);
    let defaults = (Some(60_000), Some(65_536));
    tap.equal("listener-get: defaults", (head_ms, connections), defaults);
    let late = scene.stats()?[&stats::LATE];
    let given = [
        u32(listener::HEAD_MS, IN_TIME),
        u32(listener::CONNECTIONS, 2),
    ];
    let (at, address) = scene.listen(&given)?;
    scene.address = address;
    let (_asked, head) = scene.front(GET)?;
    let mut silent = connect(address)?;
    tap.equal("who is late is closed", end(&mut silent)?, End::Fin(vec![]));
    // That one may still be on its way out.
    scene.until(cmd::LISTENER_GET, |all| {
        all.iter()
            .any(|l| l.id() == at && l.get(listener::OPEN) == Some(1))
    })?;
    let expected = [Some(IN_TIME.into()), Some(2), Some(1)];
    tap.equal(
        "listener-get: as given",
        terms(&shown(&mut scene, Some(at))?),
        expected,
    );
    tap.equal("stats-get: late", scene.stats()?[&stats::LATE], late + 1);
    tap.equal(
        "who asked is there",
        scene.queue(head.id())?.id(),
        head.id(),
    );
    scene.call(cmd::QUEUE_ABORT, &[u32(queue::ID, head.id())])?;
    let open = shown(&mut scene, Some(at))?.get(listener::OPEN);
    tap.equal("listener-get: none is open", open, Some(0));
    let cases = [
        ("head-ms 0", u32(listener::HEAD_MS, 0)),
        ("head-ms too large", u32(listener::HEAD_MS, 86_400_001)),
        ("no connections", u32(listener::CONNECTIONS, 0)),
    ];
    let cases = cases.map(|(name, more)| {
        let attrs = vec![u32(listener::FD, 0), more];
        (name, ERANGE, cmd::LISTENER_ADD, attrs)
    });
    all(tap, &mut scene, cases.into())
}

/// A listener, or the scene's own.
fn shown(scene: &mut Scene, id: Option<u32>) -> Result<Message, Failure> {
    let id = id.unwrap_or(scene.listener);
    Ok(scene.about(cmd::LISTENER_GET, id)?.remove(0))
}

fn terms(listener: &Message) -> [Option<u64>; 3] {
    let numbers = [listener::HEAD_MS, listener::CONNECTIONS, listener::OPEN];
    numbers.map(|n| listener.get(n))
}
