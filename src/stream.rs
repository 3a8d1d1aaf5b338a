//! `progress.stream`: tells by itself how far another request is, as server-sent events.

use crate::shared::{Desk, Plugin, Progress};
use crate::{clock, config, cors, id, share, store};
use elsewhere::Answer;
use lighttpd2::{ActionFn, Bytes, Level, Log, Method, Outlet, Refusal, VRequest, Value, at_once};
use progress::{
    About, COME_BACK, COMMENT, Event, Interval, Numbers, Phase, Response, Snapshot, Statuses, Subject, Table, Tally,
    Timestamp, value,
};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

/// How long an id that nobody uses is waited for, in milliseconds.
const PATIENCE: u64 = 60_000;

/// How long the end of a request is waited for that is known no more, in milliseconds: where nothing is kept, its worker tells it a
/// moment later.
const MOMENT: u64 = 1_000;

/// How long nothing is sent at the most, in milliseconds: much less than lighttpd2's usual timeout of I/O, and than what proxies
/// wait for.
const SILENCE: u64 = 20_000;

/// Who watches at a worker.
#[derive(Default)]
pub struct Local {
    groups: HashMap<Watched, Group>,
    /// What the client of an outlet watches.
    outlets: HashMap<Outlet, Watched>,
}

/// What is told alike to all who watch it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Watched {
    subject: Subject,
    success: Option<Rc<Statuses>>,
}

#[derive(Default)]
struct Group {
    watchers: Vec<Watcher>,
    /// When the first of them is to be looked at again.
    due: u64,
    /// How far the request was when it was last looked at, and how often that was something new.
    last: Option<(Numbers, Response)>,
    version: u32,
    /// How it has ended here, where that is not known any more.
    ended: Option<Snapshot>,
    /// Since when it is known no more, and how it has ended is not told yet.
    gone: Option<Timestamp>,
}

/// There are many of them: what they have in common is in their group.
struct Watcher {
    outlet: Outlet,
    /// In milliseconds.
    interval: u32,
    /// How many bytes have to move between two events.
    bytes: u64,
    since: Timestamp,
    due: Timestamp,
    /// When something was sent.
    spoke: Timestamp,
    told: Told,
}

/// What a watcher was told last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Unknown,
    /// That it runs: the group's version, what it does, and how many bytes had moved.
    Running(u32, Doing, u64),
}

/// What a running request does, and whether that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doing {
    phase: Option<Phase>,
    stands: bool,
}

impl Doing {
    fn of(snapshot: &Snapshot) -> Self {
        Self { phase: snapshot.phase(), stands: snapshot.rate == Some(0) }
    }
}

/// Who knows of requests that are not known here, or were broken off.
struct Others<'a> {
    store: &'a mut store::Local,
    share: &'a mut share::Local,
}

impl Others<'_> {
    /// What is known then; `None` where that comes later.
    fn look_up(
        &mut self,
        plugin: Plugin<'_>,
        desk: Desk<'_>,
        subject: Subject,
        now: Timestamp,
    ) -> Option<Option<Snapshot>> {
        let known = self.store.look_up(plugin, desk, subject, now);
        if known.is_some_and(|known| !known.is_broken_off()) {
            return Some(known);
        }
        match self.share.follow(desk, subject, now) {
            Answer::Known(followed) => Some(Snapshot::newest(followed, known)),
            Answer::Nowhere => Some(known),
            Answer::Later => None,
        }
    }
}

/// The action with its value.
pub fn create(_: &Progress, value: Value<'_>) -> Result<ActionFn<Progress>, Refusal> {
    let interval = config::interval(value)?;
    Ok(at_once(move |plugin, vr| stream(plugin, vr, interval)))
}

/// Answers with events about the request whose id is asked for, until that has ended. Does nothing where there is no usable id,
/// or where the request is already handled.
fn stream(plugin: Plugin<'_>, vr: VRequest<'_>, interval: Interval) {
    if vr.is_handled() || cors::answer_preflight(plugin, vr) {
        return;
    }
    let found = id::find(plugin, vr);
    let Some(id) = found.as_ref().and_then(id::FoundId::as_id) else {
        if config::is_debug(vr, plugin) {
            vr.log(Level::Debug, "progress.stream: X-Progress-Id not specified");
        }
        return;
    };
    let progress = plugin.module();
    let Some(table) = progress.table().filter(|table| !table.is_off()) else { return };
    let Some(desk) = vr.desk(plugin) else { return };
    cors::allow(plugin, vr);
    vr.set_response_header("X-Content-Type-Options", b"nosniff");
    if !vr.has_response_header("Cache-Control") {
        vr.set_response_header("Cache-Control", b"no-store");
    }
    if vr.header("Last-Event-ID").is_some_and(Event::is_end) {
        // Browsers come back by themselves, unless they hear this.
        vr.respond(204, b"");
        return;
    }
    if progress.is_stopping() {
        vr.set_response_header("Content-Type", b"text/event-stream");
        vr.respond(200, COME_BACK);
        return;
    }
    if !progress.begin_watching() {
        if let Some(tally) = progress.tally(desk.number()) {
            tally.add_refused_watcher();
        }
        vr.set_response_header("Retry-After", b"5");
        vr.set_response_header("Content-Type", b"text/plain");
        vr.respond(503, b"too many watchers\n");
        return;
    }
    vr.set_response_header("Content-Type", b"text/event-stream");
    vr.set_response_header("X-Accel-Buffering", b"no");
    if vr.method() == Some(Method::HEAD) {
        vr.respond(200, b"");
        return progress.end_watching();
    }
    let Some(outlet) = desk.respond(vr, 200) else { return progress.end_watching() };
    let now = clock::now();
    let asked = |key: &[u8]| std::str::from_utf8(value(vr.query(), key)?).ok()?.parse::<u64>().ok();
    let interval = interval.milliseconds();
    let watched = Watched { subject: table.subject(id), success: config::success(vr, plugin).cloned().map(Rc::new) };
    let watcher = Watcher {
        outlet,
        interval: asked(b"interval").map_or(interval, |asked| asked.clamp(interval, Interval::MOST)) as u32,
        bytes: asked(b"bytes").unwrap_or(0),
        since: now,
        due: now,
        spoke: now,
        told: Told::Nothing,
    };
    let crate::Local { streams: local, store, share, .. } = &mut *desk.local();
    let others = &mut Others { store, share };
    local.outlets.insert(outlet, watched.clone());
    local.groups.entry(watched.clone()).or_default().watchers.push(watcher);
    local.tell(&watched, plugin, desk, others, None, now);
    if !local.groups.is_empty() {
        desk.start_beating();
    }
}

/// The time has come to look at what is watched at a worker; whether anything is left.
pub fn beat(plugin: Plugin<'_>, desk: Desk<'_>) -> bool {
    let crate::Local { streams: local, store, share, .. } = &mut *desk.local();
    let others = &mut Others { store, share };
    if plugin.module().table().is_none_or(Table::is_off) {
        local.say_good_bye(plugin, desk);
    }
    let now = clock::now();
    let due: Vec<_> = local.groups.iter().filter(|(_, group)| group.due <= now.0).map(|(key, _)| key.clone()).collect();
    for watched in due {
        local.tell(&watched, plugin, desk, others, None, now);
    }
    !local.groups.is_empty()
}

/// Requests that are watched at a worker have ended, or the server stops.
pub fn woken(plugin: Plugin<'_>, desk: Desk<'_>) {
    let crate::Local { streams: local, store, share, .. } = &mut *desk.local();
    let others = &mut Others { store, share };
    let now = clock::now();
    if plugin.module().is_stopping() {
        return local.say_good_bye(plugin, desk);
    }
    let ended: HashMap<_, _> = plugin.module().take_ended(desk.number()).into_iter().collect();
    let watched = local.groups.keys().filter_map(|watched| Some((watched.clone(), *ended.get(&watched.subject)?)));
    for (watched, ended) in watched.collect::<Vec<_>>() {
        local.tell(&watched, plugin, desk, others, ended, now);
    }
}

/// A client has gone.
pub fn gone(plugin: Plugin<'_>, desk: Desk<'_>, outlet: Outlet) {
    let local = &mut desk.local().streams;
    if let Some(Entry::Occupied(mut group)) = local.outlets.remove(&outlet).map(|watched| local.groups.entry(watched)) {
        group.get_mut().watchers.retain(|watcher| watcher.outlet != outlet);
        if group.get().watchers.is_empty() {
            group.remove();
        }
        plugin.module().end_watching();
    }
}

impl Local {
    /// Tells those who watch a request what is new, each as often as it wants. `ended`: how it has just ended here, if it did.
    fn tell(
        &mut self,
        watched: &Watched,
        plugin: Plugin<'_>,
        desk: Desk<'_>,
        others: &mut Others<'_>,
        ended: Option<Snapshot>,
        now: Timestamp,
    ) {
        let Entry::Occupied(mut entry) = self.groups.entry(watched.clone()) else { return };
        let Some(Ok(here)) = plugin.module().table().map(|table| table.watch(watched.subject, desk.number(), now))
        else {
            return self.say_good_bye(plugin, desk);
        };
        let group = entry.get_mut();
        group.ended = ended.or(group.ended);
        // It is known no more where nothing is kept, or others took its place.
        let here = here.or(group.ended);
        if ended.is_some() || here.is_some_and(|here| here.outcome.is_none()) {
            others.share.unfollow(watched.subject);
        }
        let snapshot = match here.filter(|here| !here.is_broken_off()) {
            Some(here) => Some(here),
            // What was broken off may have been begun again elsewhere.
            None => {
                let Some(elsewhere) = others.look_up(plugin, desk, watched.subject, now) else {
                    group.due = now.0;
                    return;
                };
                Snapshot::newest(elsewhere, here)
            }
        };
        if group.ended.zip(snapshot).is_some_and(|(ended, newest)| ended.began < newest.began) {
            group.ended = None;
        }
        let is_gone = snapshot.is_none() && group.last.is_some();
        if is_gone && now.since(*group.gone.get_or_insert(now)) < MOMENT {
            group.due = now.0;
            return;
        }
        group.gone = None;
        let version = group.version_of(snapshot.as_ref());
        let news = News { snapshot, version, success: watched.success.as_deref(), now };
        let (mut comment, mut event, mut end) = (None, None, None);
        let tally = plugin.module().tally(desk.number());
        let count = || tally.into_iter().for_each(Tally::add_event);
        group.watchers.retain_mut(|watcher| {
            let goes_on = match watcher.next(&news) {
                Next::Nothing => true,
                Next::Comment => {
                    // Who does not read has something left to read.
                    if desk.is_idle(watcher.outlet) {
                        desk.send(watcher.outlet, comment.get_or_insert_with(|| Bytes::new(COMMENT)));
                    }
                    watcher.spoke = now;
                    true
                }
                Next::Event => {
                    // Who does not read gets the newest numbers when it reads again.
                    if desk.is_idle(watcher.outlet) {
                        desk.send(watcher.outlet, event.get_or_insert_with(|| news.event(Event::Progress)));
                        count();
                        (watcher.spoke, watcher.told) = (now, news.told());
                    }
                    true
                }
                Next::End => {
                    desk.send(watcher.outlet, end.get_or_insert_with(|| news.event(Event::End)));
                    count();
                    desk.close(watcher.outlet);
                    self.outlets.remove(&watcher.outlet);
                    plugin.module().end_watching();
                    false
                }
            };
            if watcher.due <= now {
                watcher.due = now.after(watcher.interval.into());
            }
            goes_on
        });
        match group.watchers.iter().map(|watcher| watcher.wakes().0).min() {
            // Nobody says when it begins, or ends elsewhere.
            Some(_) if here.is_none_or(|here| here.outcome.is_some()) => group.due = now.0,
            Some(due) => group.due = due,
            None => drop(entry.remove()),
        }
    }

    /// Ends all events of this worker, so that their clients come back later.
    fn say_good_bye(&mut self, plugin: Plugin<'_>, desk: Desk<'_>) {
        self.groups.clear();
        let good_bye = Bytes::new(COME_BACK);
        for (outlet, _) in self.outlets.drain() {
            desk.send(outlet, &good_bye);
            desk.close(outlet);
            plugin.module().end_watching();
        }
    }
}

impl Group {
    fn version_of(&mut self, snapshot: Option<&Snapshot>) -> u32 {
        let now = snapshot.map(|snapshot| (snapshot.numbers, snapshot.response));
        if self.last != now {
            self.last = now;
            self.version = self.version.wrapping_add(1);
        }
        self.version
    }
}

/// What is known of a request now.
struct News<'a> {
    snapshot: Option<Snapshot>,
    /// How often there was something new.
    version: u32,
    success: Option<&'a Statuses>,
    now: Timestamp,
}

/// What a watcher is to be told.
enum Next {
    Nothing,
    Comment,
    Event,
    End,
}

impl News<'_> {
    fn told(&self) -> Told {
        self.snapshot.map_or(Told::Unknown, |snapshot| {
            Told::Running(self.version, Doing::of(&snapshot), snapshot.numbers.moved())
        })
    }

    fn event(&self, event: Event) -> Bytes {
        let about = About {
            snapshot: self.snapshot.as_ref(),
            id: b"",
            details: None,
            callback: None,
            success: self.success,
            now: self.now,
            unix_time: clock::unix_time,
        };
        Bytes::new(&event.write(&about))
    }
}

impl Watcher {
    fn next(&self, news: &News<'_>) -> Next {
        let is_over = match (news.snapshot, self.told) {
            (Some(snapshot), _) => snapshot.outcome.is_some(),
            // Its time to live was over before anybody looked.
            (None, Told::Running(..)) => true,
            (None, _) => news.now.since(self.since) >= PATIENCE,
        };
        if is_over {
            return Next::End;
        }
        if self.due <= news.now && self.is_new(news.told()) {
            return Next::Event;
        }
        if news.now.since(self.spoke) >= SILENCE { Next::Comment } else { Next::Nothing }
    }

    /// When there may be something to tell it.
    fn wakes(&self) -> Timestamp {
        self.due.min(self.spoke.after(SILENCE))
    }

    fn is_new(&self, told: Told) -> bool {
        match (self.told, told) {
            (Told::Running(before, did, moved), Told::Running(version, does, now_moved)) if did == does => {
                // Less than before has moved where the id belongs to another request now.
                let more = now_moved.checked_sub(moved);
                before != version && more.is_none_or(|more| more >= self.bytes)
            }
            (before, now) => before != now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use progress::{End, Outcome};

    const START: Timestamp = Timestamp(1_000_000);

    fn watcher(told: Told) -> Watcher {
        // An outlet is only passed on here.
        let outlet = Outlet::default();
        Watcher { outlet, interval: 250, bytes: 100, since: START, due: START.after(250), spoke: START, told }
    }

    fn running(received: u64) -> Snapshot {
        let numbers = Numbers::new(received, 0, Some(1_000), 0);
        Snapshot { numbers, began: START, response: Response::Awaited, rate: None, outcome: None }
    }

    /// What a watcher that was told so is to be told so many milliseconds later.
    fn next(told: Told, snapshot: Option<Snapshot>, later: u64) -> &'static str {
        let version = if snapshot == Some(running(500)) { 1 } else { 2 };
        let news = News { snapshot, version, success: None, now: START.after(later) };
        match watcher(told).next(&news) {
            Next::Nothing => "nothing",
            Next::Comment => "comment",
            Next::Event => "event",
            Next::End => "end",
        }
    }

    #[test]
    fn what_is_new_is_told_when_it_is_due() {
        let told = Told::Running(1, Doing::of(&running(500)), 500);
        let begun = Snapshot { response: Response::Begun, ..running(500) };
        let stands = Snapshot { rate: Some(0), ..running(500) };
        let received = Snapshot { numbers: Numbers::new(1_000, 0, Some(1_000), 0), ..running(500) };
        let told_most = Told::Running(1, Doing::of(&running(950)), 950);
        for (told, snapshot, later, expected) in [
            (Told::Nothing, None, 250, "event"),
            (Told::Nothing, Some(running(0)), 250, "event"),
            (Told::Unknown, None, 250, "nothing"),
            (Told::Unknown, Some(running(0)), 250, "event"),
            (Told::Unknown, Some(running(0)), 249, "nothing"),
            (told, Some(running(500)), 250, "nothing"),
            (told, Some(running(599)), 250, "nothing"),
            (told, Some(running(600)), 250, "event"),
            (told, Some(running(600)), 249, "nothing"),
            (told, Some(begun), 250, "event"),
            (told, Some(stands), 250, "event"),
            (told_most, Some(received), 250, "event"),
            (told, Some(running(100)), 250, "event"),
        ] {
            assert_eq!(next(told, snapshot, later), expected, "{snapshot:?} after {later} ms");
        }
    }

    #[test]
    fn the_end_is_told_at_once() {
        let outcome = Outcome { status: 200, end: End::Whole, began: START, ended: START };
        let ended = Some(Snapshot::ended(running(1_000).numbers, true, outcome));
        let running = Told::Running(1, Doing::of(&running(5)), 5);
        for told in [Told::Nothing, Told::Unknown, running] {
            assert_eq!(next(told, ended, 0), "end");
        }
        assert_eq!(next(running, None, 0), "end", "it is forgotten");
        assert_eq!(next(Told::Unknown, None, PATIENCE - 1), "comment");
        assert_eq!(next(Told::Unknown, None, PATIENCE), "end", "it never came");
    }

    #[test]
    fn a_long_interval_lets_nobody_be_silent() {
        let due = START.after(60_000);
        assert_eq!(Watcher { due, ..watcher(Told::Unknown) }.wakes(), START.after(SILENCE));
        assert_eq!(Watcher { due, spoke: due, ..watcher(Told::Unknown) }.wakes(), due);
    }

    #[test]
    fn a_comment_breaks_a_long_silence() {
        let told = Told::Running(1, Doing::of(&running(500)), 500);
        assert_eq!(next(told, Some(running(500)), SILENCE - 1), "nothing");
        assert_eq!(next(told, Some(running(500)), SILENCE), "comment");
        assert_eq!(next(told, Some(running(900)), SILENCE), "event");
    }
}
