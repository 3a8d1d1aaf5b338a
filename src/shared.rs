//! What all workers share.

use crate::clock;
use lighttpd2::{Again, LayoutError, Level, LiveCounters, Log, Server};
use progress::{Counters, Entries, Key, Numbers, Table, TimeToLive};
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// This module's plugin.
pub type Plugin<'a> = lighttpd2::Plugin<'a, Progress>;

/// What all workers share.
#[derive(Default)]
pub struct Progress {
    settings: Mutex<Settings>,
    /// There once the configuration was read; never where the module stays inactive.
    table: OnceLock<Table<Live>>,
}

/// What `setup` has set. It counts until the server is prepared.
#[derive(Default)]
pub struct Settings {
    pub time_to_live: TimeToLive,
    pub entries: Entries,
}

/// The counters of a running request.
#[derive(Clone)]
pub struct Live(pub LiveCounters);

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
    pub fn make_table(&self) -> Result<(), Inactive> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(Inactive::NoKey)?;
        self.set(|settings| {
            self.table.get_or_init(|| Table::new(settings.time_to_live, settings.entries, Key::new(&key)));
        });
        Ok(())
    }

    /// Forgets everything and tracks nothing from now on. When it returns, no counters are read any more.
    pub fn switch_off(&self) {
        if let Some(table) = self.table() {
            table.switch_off();
        }
    }

    /// Looks after a worker's share of the table.
    pub fn tend(&self, server: Server, worker: usize, workers: usize) -> Again {
        let Some(table) = self.table() else { return Again::Later };
        self.report_untracked(&server);
        if table.tend(worker, workers, clock::now()) { Again::Soon } else { Again::Later }
    }

    /// Says, at most once a minute, how many requests could not be tracked.
    pub fn report_untracked(&self, log: &impl Log) {
        if let Some(count) = self.table().and_then(|table| table.untracked_to_report(clock::now())) {
            let text = format!("progress.track: not tracked: {count} (as many as progress.entries allows are running)");
            log.log(Level::Warning, &text);
        }
    }
}

impl Counters for Live {
    fn read(&self) -> Numbers {
        let counts = self.0.read();
        Numbers::new(counts.received, counts.sent, counts.request_size, counts.response_size)
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
