//! `progress.share`: other hosts know what this one knows, and this one what they know, by way of an engine that all of them ask.

use crate::clock;
use crate::shared::{Desk, Live, Plugin, Progress};
use elsewhere::{Answer, Elsewhere, Heard, Share, Sharing, Told, Trouble};
use lighttpd2::{Level, Log, Wait};
use progress::{Counters, Cursor, Ended, Exchange, Off, Snapshot, Subject, Ticket, Timestamp};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// A request that is watched and was known elsewhere is believed to be gone there only so many milliseconds after it would have been
/// told again: an engine that has lost all is told of it by then.
const GONE: u64 = 3_000;

/// What nobody has asked for in so many milliseconds is not followed any more.
const FORGOTTEN: u64 = 2_000;

/// What all workers have of it.
pub struct Shared {
    sharing: Arc<Sharing>,
    /// How many workers have a connection.
    connected: AtomicUsize,
    /// Whether it was said that the engine is not there, and that it does not keep something.
    is_down_said: AtomicBool,
    is_refusal_said: AtomicBool,
}

/// What a worker has of it, where requests are shared.
#[derive(Default)]
pub struct Local(Option<Open>);

struct Open {
    share: Share,
    running: HashMap<Told, Running>,
    /// The same by the bits of the requests' tickets.
    tickets: HashMap<u64, Told>,
    /// Who waits for what, and the answers that have come for them.
    waits: HashMap<Subject, Vec<Wait>>,
    awaited: HashMap<Wait, Subject>,
    answers: HashMap<Wait, Option<Snapshot>>,
    followed: HashMap<Subject, Followed>,
    /// How far this worker is with telling again all that has ended.
    repeated: Option<Cursor>,
    is_connected: bool,
}

struct Running {
    subject: Subject,
    began: Timestamp,
    /// It is read on this thread, and not after the request has ended.
    live: Live,
    /// The bits of its ticket.
    ticket: u64,
}

/// A request that somebody watches here and that does not run here.
#[derive(Default)]
struct Followed {
    /// When somebody last wanted to know, and when the engine was last asked.
    wanted: Timestamp,
    asked: Option<Timestamp>,
    /// What was heard, if anything was, and when.
    heard: Option<Option<Snapshot>>,
    heard_at: Timestamp,
    /// Since when nothing is known of it any more.
    gone: Option<Timestamp>,
}

impl Shared {
    /// Nothing is told or asked yet.
    pub fn new(sharing: Sharing) -> Self {
        let [is_down_said, is_refusal_said] = [false, false].map(AtomicBool::new);
        Self { sharing: Arc::new(sharing), connected: AtomicUsize::new(0), is_down_said, is_refusal_said }
    }

    /// How many workers have a connection.
    pub fn connected(&self) -> usize {
        self.connected.load(Relaxed)
    }

    fn say(&self, log: &impl Log, heard: &Heard) {
        let address = &self.sharing.address;
        match heard {
            Heard::Up if self.is_down_said.swap(false, Relaxed) => {
                self.is_refusal_said.store(false, Relaxed);
                log.log(Level::Info, &format!("progress.share: {address}: it is there again"));
            }
            Heard::Down(reason) if !self.is_down_said.swap(true, Relaxed) => {
                let text = format!("progress.share: {address}: {reason}: it is tried again; hosts know only their own");
                log.log(Level::Warning, &text);
            }
            Heard::Refused(reason) if !self.is_refusal_said.swap(true, Relaxed) => {
                let reason = reason.escape_debug();
                log.log(Level::Warning, &format!("progress.share: {address}: it does not keep a request: {reason}"));
            }
            _ => {}
        }
    }
}

impl Local {
    /// A worker begins: it connects.
    pub fn start(&mut self, plugin: Plugin<'_>, desk: Desk<'_>) {
        let (Some(shared), Some(_)) = (plugin.module().shared(), plugin.module().table()) else { return };
        self.0 = Some(Open {
            share: Share::new(Arc::clone(&shared.sharing)),
            running: HashMap::new(),
            tickets: HashMap::new(),
            waits: HashMap::new(),
            awaited: HashMap::new(),
            answers: HashMap::new(),
            followed: HashMap::new(),
            repeated: None,
            is_connected: false,
        });
        self.beat(plugin, desk, clock::now());
        desk.start_beating();
    }

    /// A request has begun to be tracked.
    pub fn begin(&mut self, desk: Desk<'_>, ticket: u64, subject: Subject, live: &Live, snapshot: &Snapshot) {
        let Some(open) = &mut self.0 else { return };
        let began = snapshot.began;
        open.share.set_ahead(clock::ahead());
        let told = open.share.begin(subject, *snapshot, clock::age(), began);
        open.running.insert(told, Running { subject, began, live: live.clone(), ticket });
        open.tickets.insert(ticket, told);
        open.watch(desk);
        desk.start_beating();
    }

    /// A tracked request has ended.
    pub fn end(&mut self, desk: Desk<'_>, ticket: u64, ended: &Ended, now: Timestamp) {
        let Some(open) = &mut self.0 else { return };
        let Some(told) = open.tickets.remove(&ticket) else { return };
        open.running.remove(&told);
        let snapshot = ended.is_newest.then(|| ended.snapshot());
        open.share.end(told, snapshot.as_ref(), now);
        open.watch(desk);
        desk.start_beating();
    }

    /// Asks for a request that this process does not run. Where the answer comes later, that ends the wait.
    pub fn ask(&mut self, plugin: Plugin<'_>, desk: Desk<'_>, subject: Subject, now: Timestamp) -> Option<Wait> {
        let open = self.0.as_mut()?;
        match open.share.look_up(subject, now, &mut |_, _| ()) {
            Answer::Later => {
                let wait = desk.make_wait();
                open.waits.entry(subject).or_default().push(wait);
                open.awaited.insert(wait, subject);
                open.watch(desk);
                desk.start_beating();
                Some(wait)
            }
            Answer::Nowhere | Answer::Known(_) => {
                count(plugin, desk, Exchange::Away);
                None
            }
        }
    }

    /// What was waited for, if it has come.
    pub fn take(&mut self, wait: Wait) -> Option<Option<Snapshot>> {
        self.0.as_mut().map_or(Some(None), |open| open.answers.remove(&wait))
    }

    /// A request waits for that no more.
    pub fn give_up(&mut self, wait: Wait) {
        let Some(open) = &mut self.0 else { return };
        open.answers.remove(&wait);
        let waits = open.awaited.remove(&wait).map(|subject| open.waits.entry(subject));
        if let Some(Entry::Occupied(mut waits)) = waits {
            waits.get_mut().retain(|other| *other != wait);
            if waits.get().is_empty() {
                waits.remove();
            }
        }
    }

    /// What others know of a request that is watched here and does not run here: what they knew when they were last asked.
    pub fn follow(&mut self, desk: Desk<'_>, subject: Subject, now: Timestamp) -> Answer {
        let Some(open) = &mut self.0 else { return Answer::Nowhere };
        let interval = open.share.question_interval();
        let followed = open.followed.entry(subject).or_default();
        followed.wanted = now;
        if followed.asked.is_none_or(|asked| now.since(asked) >= interval) {
            followed.asked = Some(now);
            if open.share.look_up(subject, now, &mut |_, _| ()) == Answer::Nowhere {
                // Whatever it was, it is not known better now.
                followed.heard.get_or_insert(None);
            }
            open.watch(desk);
        }
        let followed = open.followed.entry(subject).or_default();
        if followed.heard.flatten().is_some() && now.since(followed.heard_at) >= open.share.running_time() {
            // By now it would be forgotten there, too.
            followed.heard = Some(None);
        }
        let heard = followed.heard;
        if heard.flatten().is_some_and(|known| known.outcome.is_some()) {
            // Whoever asks after that may mean the next one.
            (followed.heard, followed.asked) = (None, None);
        }
        heard.map_or(Answer::Later, Answer::Known)
    }

    /// A request runs here, or did a moment ago: what was heard before is not asked for any more.
    pub fn unfollow(&mut self, subject: Subject) {
        let Some(open) = &mut self.0 else { return };
        open.followed.remove(&subject);
    }

    /// The engine's socket is ready.
    pub fn ready(&mut self, plugin: Plugin<'_>, desk: Desk<'_>, now: Timestamp) {
        let Some(open) = &mut self.0 else { return };
        open.share.set_ahead(clock::ahead());
        open.share.ready(now);
        open.hear(plugin, desk, now);
        open.watch(desk);
        if open.share.is_busy() {
            desk.start_beating();
        }
    }

    /// Does what is due; whether anything is left.
    pub fn beat(&mut self, plugin: Plugin<'_>, desk: Desk<'_>, now: Timestamp) -> bool {
        let Some(open) = &mut self.0 else { return false };
        open.share.set_ahead(clock::ahead());
        if open.update(plugin, now).is_err() {
            self.switch_off(plugin, desk);
            return false;
        }
        open.share.beat(now);
        open.hear(plugin, desk, now);
        open.repeat(plugin, now);
        open.followed.retain(|_, followed| now.since(followed.wanted) < FORGOTTEN);
        open.watch(desk);
        open.share.is_busy() || !open.followed.is_empty() || open.repeated.is_some()
    }

    /// Nobody is told anything from now on, and who waits goes on.
    fn switch_off(&mut self, plugin: Plugin<'_>, desk: Desk<'_>) {
        let Some(mut open) = self.0.take() else { return };
        open.waits.drain().flat_map(|(_, waits)| waits).for_each(|wait| desk.end_wait(wait));
        plugin.module().shared().into_iter().for_each(|shared| open.set_connected(shared, false));
        desk.unwatch();
    }
}

impl Open {
    fn watch(&self, desk: Desk<'_>) {
        match self.share.socket() {
            Some((socket, writes)) => desk.watch(socket, writes),
            None => desk.unwatch(),
        }
    }

    /// Looks how far the requests of this worker are that are due to be told.
    fn update(&mut self, plugin: Plugin<'_>, now: Timestamp) -> Result<(), Off> {
        // Where the table is off, requests end without a word, and their numbers are not to be read any more.
        let table = plugin.module().table().filter(|table| !table.is_off()).ok_or(Off)?;
        let is_up = self.share.is_up();
        // Who asks here hears of the newer one.
        self.running.retain(|told, running| {
            let is_superseded = self.share.is_superseded(*told);
            if let Some(watched) = is_superseded.then(|| table.supersede(&Ticket::from_bits(running.ticket))).flatten()
            {
                Progress::tell_ended(plugin, watched, None);
            }
            !is_superseded
        });
        for (told, Running { subject, began, live, .. }) in &self.running {
            if !is_up {
                // Nobody else is told: who asks here need not wait for that.
                live.set_told(live.read());
            }
            if is_up && !self.share.is_due(*told, now) {
                continue;
            }
            let Some(known) = table.look_up_subject(*subject, now)? else { continue };
            // Else the id belongs to a newer request, which is told by itself.
            if known.began == *began && known.outcome.is_none() {
                let numbers = known.response.of(live.read());
                self.share.update(*told, Snapshot { numbers, rate: known.rate, ..known });
            }
        }
        Ok(())
    }

    fn hear(&mut self, plugin: Plugin<'_>, desk: Desk<'_>, now: Timestamp) {
        let (Some(shared), Some(table)) = (plugin.module().shared(), plugin.module().table()) else { return };
        let gone = self.share.refresh_interval() + GONE;
        for heard in self.share.take_heard() {
            shared.say(&desk.server(), &heard);
            let exchange = match heard {
                Heard::Told(told, numbers) => {
                    // Who asks here hears no less and no more than who asks elsewhere.
                    self.running.get(&told).into_iter().for_each(|running| running.live.set_told(numbers));
                    continue;
                }
                Heard::Kept => Exchange::Kept,
                Heard::Answer(subject, snapshot) => {
                    if let Some(ended) = snapshot.filter(|snapshot| snapshot.outcome.is_some()) {
                        Progress::adopt(plugin, table, subject, &ended);
                    }
                    self.answer(desk, subject, snapshot);
                    if let Some(followed) = self.followed.get_mut(&subject) {
                        followed.hear(snapshot, now, gone);
                    }
                    if snapshot.is_some() { Exchange::Found } else { Exchange::Unknown }
                }
                Heard::NoAnswer(subject, trouble) => {
                    self.answer(desk, subject, None);
                    if let Some(followed) = self.followed.get_mut(&subject) {
                        followed.heard.get_or_insert(None);
                    }
                    if trouble == Trouble::Late { Exchange::Late } else { Exchange::Away }
                }
                Heard::Up => {
                    self.set_connected(shared, true);
                    // One worker does that for all.
                    self.repeated = (desk.number() == 0).then(Cursor::default);
                    Exchange::Connected
                }
                Heard::Down(_) => {
                    self.set_connected(shared, false);
                    Exchange::Broken
                }
                Heard::Refused(_) => Exchange::Refused,
                Heard::Lost => Exchange::Lost,
            };
            count(plugin, desk, exchange);
        }
    }

    fn answer(&mut self, desk: Desk<'_>, subject: Subject, snapshot: Option<Snapshot>) {
        for wait in self.waits.remove(&subject).into_iter().flatten() {
            self.awaited.remove(&wait);
            self.answers.insert(wait, snapshot);
            desk.end_wait(wait);
        }
    }

    fn set_connected(&mut self, shared: &Shared, is_connected: bool) {
        match (self.is_connected, is_connected) {
            (false, true) => drop(shared.connected.fetch_add(1, Relaxed)),
            (true, false) => drop(shared.connected.fetch_sub(1, Relaxed)),
            _ => {}
        }
        self.is_connected = is_connected;
    }

    /// Tells some more of those that have ended once more: an engine that was away may have lost them.
    fn repeat(&mut self, plugin: Plugin<'_>, now: Timestamp) {
        let (Some(cursor), Some(table)) = (&mut self.repeated, plugin.module().table()) else { return };
        let mut rows = Vec::new();
        while self.share.has_room() {
            match table.page(cursor, now, &mut rows) {
                Ok(Some(0)) => continue,
                Ok(Some(_)) => {}
                Ok(None) | Err(Off) => {
                    self.repeated = None;
                    return;
                }
            }
            for row in rows.drain(..).filter(|row| row.snapshot.outcome.is_some()) {
                self.share.repeat(row.subject, &row.snapshot, now);
            }
        }
        self.share.flush();
    }
}

impl Followed {
    /// `patience`: for how many milliseconds it is not believed to be gone.
    fn hear(&mut self, snapshot: Option<Snapshot>, now: Timestamp, patience: u64) {
        let was_known = self.heard.flatten().is_some();
        self.heard_at = now;
        let gone = snapshot.is_none().then(|| self.gone.unwrap_or(now));
        if !was_known || gone.is_none_or(|gone| now.since(gone) >= patience) {
            self.heard = Some(snapshot);
        }
        self.gone = gone;
    }
}

fn count(plugin: Plugin<'_>, desk: Desk<'_>, exchange: Exchange) {
    if let Some(tally) = plugin.module().tally(desk.number()) {
        tally.add_exchange(exchange);
    }
}
