//! The life of a tracked request.

use super::{Live, Plugin, clock, config};
use lighttpd2::{Connection, Level, Log, Slot, VRequest};
use progress::{Ending, Ticket, request_id};

/// `progress.track`: tracks the request under the id in its query string.
pub fn track(vr: VRequest<'_>, plugin: Plugin<'_>) {
    if !config::is_method_tracked(vr, plugin) {
        return;
    }
    let slot = vr.slot(plugin);
    if !slot.is_clear() {
        vr.log(Level::Warning, "progress.track: already tracking request");
        return;
    }
    let Some(id) = request_id(vr.query()) else {
        if config::is_debug(vr, plugin) {
            vr.log(Level::Debug, "progress.track: X-Progress-Id parameter not found, cannot track request");
        }
        return;
    };
    // SAFETY: `closed` ends the entry, and with it every read, before `handle_vrclose` returns; should it or this function
    // panic, the entry point switches the table off, which does the same.
    let Some(counters) = (unsafe { vr.counters() }) else { return };
    let Some(ticket) = plugin.data().table.track(id, Live(counters), clock::now()) else { return };
    Tracked { ticket, closing: Closing::NotSeen }.store(slot);
    if config::is_debug(vr, plugin) {
        let id = id.bytes().escape_ascii();
        vr.log(Level::Debug, &format!("progress.track: tracking progress with id \"{id}\""));
    }
}

/// `handle_close`: notes whether the response was complete, which is hard to tell afterwards.
pub fn closing(connection: Connection<'_>, plugin: Plugin<'_>) {
    let slot = connection.main_vrequest().slot(plugin);
    if let Some(tracked) = Tracked::load(slot) {
        let closing = if connection.is_response_complete() { Closing::Complete } else { Closing::BrokenOff };
        Tracked { closing, ..tracked }.store(slot);
    }
}

/// Whether `handle_vrclose` has nothing to do, as for most requests: this one is not tracked, and it is not its turn to
/// look after the others. Cannot panic.
pub fn is_done(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.slot(plugin).is_clear() && !plugin.data().table.is_time_to_tend(vr.worker())
}

/// `handle_vrclose`, where [`is_done`] says no: ends the request's entry, or looks after the others.
pub fn closed(vr: VRequest<'_>, plugin: Plugin<'_>) {
    let table = &plugin.data().table;
    let slot = vr.slot(plugin);
    let Some(tracked) = Tracked::load(slot) else { return table.tend(vr.worker(), clock::now) };
    slot.clear();
    let whole = match tracked.closing {
        Closing::Complete => vr.is_all_sent(),
        Closing::BrokenOff => false,
        Closing::NotSeen => vr.is_response_closed(),
    };
    table.finish(tracked.ticket, Ending { status: vr.status(), whole }, clock::now());
}

/// What the plugin keeps in a tracked request.
struct Tracked {
    ticket: Ticket,
    closing: Closing,
}

/// How the request's connection let go of it.
#[derive(Clone, Copy)]
enum Closing {
    /// Not yet, or there is none: lighttpd2's Lua subrequests have no connection of their own.
    NotSeen,
    /// The response was complete, though the client may not have got all of it.
    Complete,
    /// It was not: broken off by either side.
    BrokenOff,
}

impl Tracked {
    /// A slot holds, from its lowest bit: 1 for a tracked request, two bits of `Closing`, the ticket.
    const CLOSING: u32 = 1;
    const TICKET: u32 = 3;

    fn load(slot: Slot<'_>) -> Option<Self> {
        let word = slot.get();
        let closing = match word >> Self::CLOSING & 3 {
            bits if bits == Closing::NotSeen as usize => Closing::NotSeen,
            bits if bits == Closing::Complete as usize => Closing::Complete,
            _ => Closing::BrokenOff,
        };
        (word & 1 != 0).then(|| Self { ticket: Ticket::from_bits((word >> Self::TICKET) as u64), closing })
    }

    fn store(self, slot: Slot<'_>) {
        const { assert!(Ticket::BITS + Self::TICKET <= usize::BITS) };
        let ticket = (self.ticket.into_bits() as usize) << Self::TICKET;
        slot.set(ticket | (self.closing as usize) << Self::CLOSING | 1);
    }
}
