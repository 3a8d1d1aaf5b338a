//! What all workers share.

use crate::clock;
use crate::refusals::ActionError;
use crate::share::Shared;
use crate::store::Store;
use elsewhere::{Address, Directory, Secret, Sharing};
use lighttpd2::{Again, LayoutError, Level, LiveCounters, Log, Server};
use progress::{
    Counters, Details, Entries, Inboxes, Interval, Key, Numbers, Snapshot, Subject, Table, Tallied, Tally, TimeToLive,
    ToldNumbers, Watchers, Workers,
};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// This module's plugin.
pub type Plugin<'a> = lighttpd2::Plugin<'a, Progress>;

/// What this module has at a worker.
pub type Desk<'a> = lighttpd2::Desk<'a, Progress>;

/// What all workers share.
#[derive(Default)]
pub struct Progress {
    settings: Mutex<Settings>,
    /// There once the configuration was read; never where the module stays inactive.
    table: OnceLock<Table<Live>>,
    /// What has ended and is watched, with how that ended where it ended here: it need not be known any more as they hear of it.
    ended: OnceLock<Inboxes<(Subject, Option<Snapshot>)>>,
    /// What each worker has counted, by the numbers of workers.
    tallies: OnceLock<Box<[Tally]>>,
    /// How many may watch, and how many more.
    most_watchers: AtomicUsize,
    watchers_left: AtomicUsize,
    /// Whether anybody can list requests, or ask for numbers over all of them.
    keeps_details: AtomicBool,
    keeps_counts: AtomicBool,
    /// What is shared with other processes, if anything is.
    store: OnceLock<Store>,
    /// What is shared with other hosts, if anything is.
    shared: OnceLock<Shared>,
    is_stopping: AtomicBool,
}

/// What `setup` has set. It counts until the server is prepared.
pub struct Settings {
    pub time_to_live: TimeToLive,
    pub entries: Entries,
    pub watchers: Watchers,
    pub store: Option<Directory>,
    pub secret: Option<Secret>,
    pub share: Option<Address>,
    /// How long it is at least between two times that other hosts are told how far a request is.
    pub share_interval: Interval,
    /// How long they are waited for.
    pub share_timeout: Interval,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_to_live: TimeToLive::default(),
            entries: Entries::default(),
            watchers: Watchers::default(),
            store: None,
            secret: None,
            share: None,
            share_interval: Interval::HALF_A_SECOND,
            share_timeout: Interval::HALF_A_SECOND,
        }
    }
}

/// A running request.
#[derive(Clone)]
pub struct Live {
    pub counters: LiveCounters,
    /// Where there is anything of that.
    pub kept: Option<Arc<Kept>>,
}

/// What is kept of a running request besides.
pub struct Kept {
    /// Where somebody can ask for them.
    pub details: Option<Arc<Details>>,
    /// What other processes have heard of it, where they do.
    pub told: Option<ToldNumbers>,
}

/// Why the module does nothing.
#[derive(Debug)]
pub enum Inactive {
    /// It was made for another lighttpd2.
    Layout(LayoutError),
    /// The system has no random numbers, without which ids cannot be kept apart safely.
    NoKey(getrandom::Error),
}

impl Progress {
    /// Changes the settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All tracked requests; `None` while the module is inactive.
    pub fn table(&self) -> Option<&Table<Live>> {
        self.table.get()
    }

    /// Becomes active, with what was set.
    pub fn make_table(&self, workers: usize, log: &impl Log) -> Result<(), Inactive> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(Inactive::NoKey)?;
        self.ended.get_or_init(|| Inboxes::new(workers));
        self.tallies.get_or_init(|| (0..workers).map(|_| Tally::default()).collect());
        self.set(|settings| {
            if let Some(directory) = settings.store.take() {
                match Store::new(directory, settings.secret, workers, settings.entries.count(), settings.time_to_live) {
                    Ok(store) => drop(self.store.set(store)),
                    Err(error) => {
                        let text =
                            format!("progress.store: {error}: nothing is known to other processes, nor after a reload");
                        log.log(Level::Error, &text);
                    }
                }
            }
            self.most_watchers.store(settings.watchers.count(), Relaxed);
            self.watchers_left.store(settings.watchers.count(), Relaxed);
            if let (Some(address), Some(secret)) = (settings.share.take(), settings.secret) {
                let _ = self.shared.set(Shared::new(Sharing {
                    address: Arc::new(address),
                    secret,
                    interval: settings.share_interval.milliseconds(),
                    timeout: settings.share_timeout.milliseconds(),
                    time_to_live: settings.time_to_live.milliseconds(),
                }));
            }
            // Who tells others has to call a request what they call it.
            let secret = settings.secret.map(|secret| Key::new(&secret.key()));
            let key = secret.or_else(|| self.store().map(Store::key)).unwrap_or_else(|| Key::new(&key));
            self.table.get_or_init(|| {
                let table = Table::new(settings.time_to_live, settings.entries, key);
                if self.keeps_counts.load(Relaxed) { table.counting() } else { table }
            });
        });
        Ok(())
    }

    /// Forgets everything and tracks nothing from now on. When it returns, no counters are read any more.
    pub fn switch_off(&self) {
        if let Some(table) = self.table() {
            table.switch_off();
        }
    }

    /// Somebody wants to watch; whether there may be one more.
    pub fn begin_watching(&self) -> bool {
        self.watchers_left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Somebody who was let watch does so no more.
    pub fn end_watching(&self) {
        self.watchers_left.fetch_add(1, Relaxed);
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.most_watchers.load(Relaxed).saturating_sub(self.watchers_left.load(Relaxed))
    }

    /// What a worker counts, on its own thread.
    pub fn tally(&self, worker: usize) -> Option<&Tally> {
        self.tallies.get()?.get(worker)
    }

    /// What all workers have counted.
    pub fn tallied(&self) -> Tallied {
        self.tallies.get().map(|tallies| tallies.iter().collect()).unwrap_or_default()
    }

    /// Requests can be listed, by this action.
    pub fn keep_details(&self, action: &'static str) -> Result<(), ActionError> {
        self.keep(&self.keeps_details, action)?;
        self.keep_counts(action)
    }

    /// Numbers over all requests can be asked for, by this action.
    pub fn keep_counts(&self, action: &'static str) -> Result<(), ActionError> {
        self.keep(&self.keeps_counts, action)
    }

    fn keep(&self, keeps: &AtomicBool, action: &'static str) -> Result<(), ActionError> {
        // lighttpd2's Lua can make actions as requests come.
        if self.table().is_some() && !keeps.load(Relaxed) {
            return Err(ActionError::Late(action));
        }
        keeps.store(true, Relaxed);
        Ok(())
    }

    /// Whether requests can be listed.
    pub fn keeps_details(&self) -> bool {
        self.keeps_details.load(Relaxed)
    }

    /// What is watched at these workers has ended.
    pub fn tell_ended(plugin: Plugin<'_>, (subject, workers): (Subject, Workers), snapshot: Option<Snapshot>) {
        if let Some(ended) = plugin.module().ended.get() {
            ended.put((subject, snapshot), workers, |worker| plugin.wake(worker));
        }
    }

    /// Takes over what has ended elsewhere.
    pub fn adopt(plugin: Plugin<'_>, table: &Table<Live>, subject: Subject, snapshot: &Snapshot) {
        // It may have ended since this worker last looked at the clock.
        if let Some(watched) = table.adopt(subject, snapshot, clock::now()) {
            Self::tell_ended(plugin, watched, None);
        }
    }

    /// What has ended and is watched at a worker, since it was last asked for, and how, as far as that was told.
    pub fn take_ended(&self, worker: usize) -> Vec<(Subject, Option<Snapshot>)> {
        self.ended.get().map(|ended| ended.take(worker)).unwrap_or_default()
    }

    /// The server stops.
    pub fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Relaxed)
    }

    /// What is shared with other processes, if anything is.
    pub fn store(&self) -> Option<&Store> {
        self.store.get()
    }

    /// What is shared with other hosts, if anything is.
    pub fn shared(&self) -> Option<&Shared> {
        self.shared.get()
    }

    /// Whether anybody is told of requests.
    pub fn tells_others(&self) -> bool {
        self.store().is_some() || self.shared().is_some()
    }

    /// Looks after a worker's share of the table.
    pub fn tend(plugin: Plugin<'_>, server: Server, worker: usize, workers: usize) -> Again {
        let progress = plugin.module();
        let Some(table) = progress.table() else { return Again::Later };
        progress.report_untracked(&server);
        if let Some(store) = progress.store().filter(|_| worker == 0) {
            store.tend(&server, &mut |subject, snapshot| Self::adopt(plugin, table, subject, snapshot));
        }
        if table.tend(worker, workers, clock::now()) { Again::Soon } else { Again::Later }
    }

    /// Says, at most once a minute, how many requests could not be tracked.
    pub fn report_untracked(&self, log: &impl Log) {
        let (Some(table), now) = (self.table(), clock::now()) else { return };
        for (level, count, reason) in [
            (Level::Warning, table.untracked_to_report(now), "as many as progress.entries allows are running"),
            (Level::Error, table.without_memory_to_report(now), "there is no memory"),
        ] {
            if let Some(count) = count {
                log.log(level, &format!("progress.track: not tracked: {count} ({reason})"));
            }
        }
    }
}

impl Live {
    /// Nobody else will know its numbers: who asks here hears those that there are.
    pub fn forget_told(&mut self) {
        let details = self.kept.take().and_then(|kept| kept.details.clone());
        self.kept = details.map(|details| Arc::new(Kept { details: Some(details), told: None }));
    }

    /// Others know these numbers: who asks here hears no more than who asks elsewhere.
    pub fn set_told(&self, numbers: Numbers) {
        self.kept.iter().filter_map(|kept| kept.told.as_ref()).for_each(|told| told.set(numbers));
    }
}

impl Counters for Live {
    fn read(&self) -> Numbers {
        let counts = self.counters.read();
        Numbers::new(counts.received, counts.sent, counts.request_size, counts.response_size)
    }

    fn told(&self) -> Numbers {
        self.kept.as_ref().and_then(|kept| kept.told.as_ref()).map_or_else(|| self.read(), ToldNumbers::get)
    }

    fn details(&self) -> Option<&Arc<Details>> {
        self.kept.as_ref()?.details.as_ref()
    }
}

impl From<LayoutError> for Inactive {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

impl fmt::Display for Inactive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(difference) => write!(f, "this is not the lighttpd2 it was built for ({difference})"),
            Self::NoKey(error) => write!(f, "there are no random numbers ({error})"),
        }
    }
}
