//! The life of a tracked request.

use crate::shared::{Kept, Live, Plugin, Progress};
use crate::{Local, clock, config, id};
use elsewhere::Slot;
use lighttpd2::{ActionFn, Beginning, Closing, Connection, Level, Log, Refusal, VRequest, Value, at_once};
use progress::{
    Counters, Details, End, Ended, NotTracked, Parts, RequestId, Response, Side, Snapshot, State, Statuses, Subject,
    Table, Ticket, Timestamp, ToldNumbers,
};
use std::sync::Arc;

const SWITCHING_PROTOCOLS: i32 = 101;

/// The action with its value, which is none.
pub fn create(_: &Progress, value: Value<'_>) -> Result<ActionFn<Progress>, Refusal> {
    config::nothing("progress.track", value)?;
    Ok(at_once(track))
}

/// Tracks the request under its id.
fn track(plugin: Plugin<'_>, vr: VRequest<'_>) {
    if !config::is_method_tracked(vr, plugin) {
        return;
    }
    let slot = vr.slot(plugin);
    if !slot.is_clear() {
        vr.log(Level::Warning, "progress.track: already tracking request");
        return;
    }
    if vr.is_handled() && vr.status() >= 400 {
        if config::is_debug(vr, plugin) {
            let text = format!("progress.track: already answered with status {}, not tracked", vr.status());
            vr.log(Level::Debug, &text);
        }
        return;
    }
    let found = id::find(plugin, vr);
    let Some(id) = found.as_ref().and_then(id::FoundId::as_id) else {
        if config::is_debug(vr, plugin) {
            vr.log(Level::Debug, "progress.track: X-Progress-Id parameter not found, cannot track request");
        }
        return;
    };
    // SAFETY: `closed` ends the entry, and with it every read, before `handle_vrclose` returns, or `tunnel_ended` does where
    // `hear_tunnel` has said that it will be called; should one of them or this function panic, `Progress::panicked` switches the
    // table off, which does the same.
    let Some(counters) = (unsafe { vr.counters() }) else { return };
    let Some(table) = plugin.module().table() else { return };
    let (subject, now) = (table.subject(id), clock::now());
    let mut live = Live { counters, kept: None };
    let has_details = plugin.module().keeps_details();
    // One without a connection can end on a thread that cannot tell them.
    let tells_others = plugin.module().tells_others() && vr.has_connection();
    if has_details || tells_others {
        let details = has_details.then(|| Arc::new(details(vr, id)));
        let told = tells_others.then(|| ToldNumbers::new(live.read()));
        live.kept = Some(Arc::new(Kept { details, told }));
    }
    // Before anybody hears of it here: whoever does, and then asks the next process, is not told that nobody knows it.
    let tells_processes = tells_others && plugin.module().store().is_some();
    let slot = tells_processes.then(|| tell_processes(plugin, vr, subject, &live, now)).flatten();
    if tells_processes && slot.is_none() && plugin.module().shared().is_none() {
        // Nobody is told: who asks here need not wait for that.
        live.forget_told();
    }
    match table.track_subject(subject, &live, now) {
        Ok(ticket) => {
            if tells_others && plugin.module().shared().is_some() {
                tell_hosts(plugin, vr, ticket.bits(), subject, &live, now);
            }
            Tracked { ticket, closing: None, slot }.store(vr.slot(plugin));
            vr.hear_response(plugin);
        }
        Err(reason) => {
            if let (Some(slot), Some(desk), Some(store)) = (slot, vr.desk(plugin), plugin.module().store()) {
                desk.local().store.end(store, slot, None, now);
            }
            if reason != NotTracked::Off {
                plugin.module().report_untracked(&vr);
            }
            return;
        }
    }
    if config::has_environment(vr, plugin) {
        vr.set_environment("PROGRESS_ID", id.bytes());
    }
    if config::is_debug(vr, plugin) {
        let id = id.bytes().escape_ascii();
        vr.log(Level::Debug, &format!("progress.track: tracking progress with id \"{id}\""));
    }
}

/// Tells other processes of a request that begins. Returns where they are told of it.
#[cold]
fn tell_processes(plugin: Plugin<'_>, vr: VRequest<'_>, subject: Subject, live: &Live, now: Timestamp) -> Option<Slot> {
    let desk = vr.desk(plugin)?;
    desk.local().store.begin(plugin, desk, subject, live, &begun(live, now))
}

/// Tells other hosts of a request that has begun.
#[cold]
fn tell_hosts(plugin: Plugin<'_>, vr: VRequest<'_>, ticket: u64, subject: Subject, live: &Live, now: Timestamp) {
    if let Some(desk) = vr.desk(plugin) {
        desk.local().share.begin(desk, ticket, subject, live, &begun(live, now));
    }
}

/// What there is to tell of a request that begins.
fn begun(live: &Live, now: Timestamp) -> Snapshot {
    Snapshot { numbers: live.told(), began: now, response: Response::Awaited, rate: None, outcome: None }
}

/// What operators are told of a request.
fn details(vr: VRequest<'_>, id: RequestId<'_>) -> Details {
    Details::new(Parts {
        id: id.bytes(),
        method: vr.method_name(),
        host: vr.host(),
        path: vr.path(),
        client: vr.client(),
    })
}

/// `handle_response` of a tracked request: notes how long its response will be.
pub fn responding(plugin: Plugin<'_>, vr: VRequest<'_>, beginning: Beginning) {
    let (Some(tracked), Some(table)) = (Tracked::load(vr.slot(plugin)), plugin.module().table()) else { return };
    let response = match beginning {
        Beginning::Sized(size) => Response::Sized(size),
        Beginning::Unsized => Response::Begun,
    };
    table.begin_response(&tracked.ticket, response, clock::now());
}

/// `handle_close` of a tracked request: notes how its connection lets go of it, which cannot be told afterwards.
pub fn closing(plugin: Plugin<'_>, connection: Connection<'_>) {
    let slot = connection.main_vrequest().slot(plugin);
    if let Some(tracked) = Tracked::load(slot) {
        Tracked { closing: Some(connection.closing()), ..tracked }.store(slot);
    }
}

/// `handle_vrclose` of a tracked request: ends its entry.
pub fn closed(plugin: Plugin<'_>, vr: VRequest<'_>) {
    let slot = vr.slot(plugin);
    let (Some(tracked), Some(table)) = (Tracked::load(slot), plugin.module().table()) else { return };
    let may_go_on = tracked.closing.is_none() && vr.status() == SWITCHING_PROTOCOLS;
    if may_go_on && vr.hear_tunnel(plugin, slot.get()) {
        return;
    }
    slot.clear();
    let end = match tracked.closing {
        // lighttpd2 can take a response for sent a moment before its last bytes are.
        Some(Closing::Complete) if !vr.is_all_sent() => End::BrokenOff(Side::Client),
        Some(closing) => end(closing),
        // The server stops, or lighttpd2's Lua runs the request inside of another one: that has no connection of its own.
        None if vr.is_response_closed() => End::Whole,
        None => End::BrokenOff(Side::Server),
    };
    finish(plugin, vr, table, tracked, vr.status(), end);
}

/// Tells how a request ended to those whose `handle_vrclose` comes later.
fn tell_environment(plugin: Plugin<'_>, vr: VRequest<'_>, snapshot: &Snapshot) {
    let state = State::of(Some(snapshot), config::success(vr, plugin).unwrap_or(&Statuses::GOOD_OR_REDIRECT));
    vr.set_environment("PROGRESS_STATE", state.word().as_bytes());
    if let (State::Error, Some(outcome)) = (state, snapshot.outcome) {
        vr.set_environment("PROGRESS_REASON", outcome.end.reason().as_bytes());
    }
    if let Some(rate) = snapshot.rate {
        vr.set_environment("PROGRESS_RATE", rate.to_string().as_bytes());
    }
}

/// `handle_tunnel_end`: ends the entry of a request that had become a connection of another protocol.
pub fn tunnel_ended(plugin: Plugin<'_>, vr: VRequest<'_>, word: usize, closing: Closing) {
    let (Some(tracked), Some(table)) = (Tracked::from_word(word), plugin.module().table()) else { return };
    finish(plugin, vr, table, tracked, SWITCHING_PROTOCOLS, end(closing));
}

/// Ends the entry of a request, and tells all who are to hear of it.
fn finish(plugin: Plugin<'_>, vr: VRequest<'_>, table: &Table<Live>, tracked: Tracked, status: i32, end: End) {
    let now = clock::now();
    let ended = if plugin.module().tells_others() {
        // Before anybody hears of it here: what has ended does not run again at the next process.
        table.ending(&tracked.ticket, status, end, now).and_then(|ended| {
            tell_end(plugin, vr, tracked.ticket.bits(), tracked.slot, &ended, now);
            table.finish_as(tracked.ticket, ended)
        })
    } else {
        table.finish(tracked.ticket, status, end, now)
    };
    let Some(ended) = ended else { return };
    if config::has_environment(vr, plugin) {
        tell_environment(plugin, vr, &ended.snapshot());
    }
    if let Some(watched) = ended.watched {
        Progress::tell_ended(plugin, watched, Some(ended.snapshot()));
    }
}

/// Tells others of a request that has ended.
#[cold]
fn tell_end(plugin: Plugin<'_>, vr: VRequest<'_>, ticket: u64, slot: Option<Slot>, ended: &Ended, now: Timestamp) {
    // As the server stops there may be no worker any more: others find its end by themselves.
    let Some(desk) = vr.desk(plugin) else { return };
    let Local { store, share, .. } = &mut *desk.local();
    share.end(desk, ticket, ended, now);
    if let (Some(slot), Some(all)) = (slot, plugin.module().store()) {
        let snapshot = ended.is_newest.then(|| ended.snapshot());
        store.end(all, slot, snapshot.as_ref(), now);
    }
}

fn end(closing: Closing) -> End {
    match closing {
        Closing::Complete => End::Whole,
        Closing::Client => End::BrokenOff(Side::Client),
        Closing::Server => End::BrokenOff(Side::Server),
        Closing::Timeout => End::BrokenOff(Side::Timeout),
    }
}

/// What the plugin keeps in a tracked request.
struct Tracked {
    ticket: Ticket,
    /// How the request's connection lets go of it; `None` while that is not seen.
    closing: Option<Closing>,
    /// Where other processes are told of it, if they are.
    slot: Option<Slot>,
}

impl Tracked {
    /// A slot of the plugin holds, from its lowest bit: 1 for a tracked request, three bits for `closing`, the ticket, and one more
    /// than the number of `slot`.
    const TICKET: u32 = 4;
    const SLOT: u32 = Self::TICKET + Ticket::BITS;
    const CLOSINGS: [Closing; 4] = [Closing::Complete, Closing::Client, Closing::Server, Closing::Timeout];

    fn load(slot: lighttpd2::Slot<'_>) -> Option<Self> {
        Self::from_word(slot.get())
    }

    fn from_word(word: usize) -> Option<Self> {
        let closing = (word >> 1 & 7).checked_sub(1).and_then(|number| Self::CLOSINGS.get(number).copied());
        let ticket = (word >> Self::TICKET) as u64 & ((1 << Ticket::BITS) - 1);
        let slot = (word >> Self::SLOT).checked_sub(1).map(|number| Slot::from_number(number as u32));
        (word & 1 != 0).then(|| Self { ticket: Ticket::from_bits(ticket), closing, slot })
    }

    fn store(self, place: lighttpd2::Slot<'_>) {
        const { assert!(Self::SLOT + Slot::BITS < usize::BITS) };
        let ticket = (self.ticket.into_bits() as usize) << Self::TICKET;
        let closing = self.closing.and_then(|closing| Self::CLOSINGS.iter().position(|one| *one == closing));
        let slot = self.slot.map_or(0, |slot| slot.number() as usize + 1) << Self::SLOT;
        place.set(slot | ticket | closing.map_or(0, |number| number + 1) << 1 | 1);
    }
}
