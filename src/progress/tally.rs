//! What a worker counts for itself, for those who watch a server.

use super::State;
use super::sync::{AtomicU64, Ordering::Relaxed};

/// What one worker has done. It alone adds to it, so that no two of them write the same memory; anybody may read it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Tally {
    polls: [AtomicU64; Self::STATES.len()],
    events: AtomicU64,
    refused_watchers: AtomicU64,
    exchanges: [AtomicU64; Exchange::COUNT],
}

/// What comes of one exchange with an engine that other hosts ask, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// A request was told, or how far it is.
    Kept,
    /// The engine did not keep that.
    Refused,
    /// A request has ended, and nobody could be told in time.
    Lost,
    /// A request was asked for, and is known.
    Found,
    /// It is not known there.
    Unknown,
    /// The answer did not come in time.
    Late,
    /// The engine was not there to be asked.
    Away,
    /// A connection was made.
    Connected,
    /// One has failed, or could not be made.
    Broken,
}

impl Exchange {
    const COUNT: usize = Self::Broken as usize + 1;

    /// What becomes of what is told, of questions and of connections, with one word each.
    pub(crate) const UPDATES: [(Self, &str); 3] =
        [(Self::Kept, "kept"), (Self::Refused, "refused"), (Self::Lost, "lost")];
    pub(crate) const LOOKUPS: [(Self, &str); 4] =
        [(Self::Found, "found"), (Self::Unknown, "unknown"), (Self::Late, "timeout"), (Self::Away, "unavailable")];
    pub(crate) const CONNECTIONS: [(Self, &str); 2] = [(Self::Connected, "made"), (Self::Broken, "failed")];
}

/// What all workers together have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// How many polls were answered, by the states of [`Tally::STATES`].
    pub polls: [u64; Tally::STATES.len()],
    /// How many events were sent.
    pub events: u64,
    /// How many watchers were turned away, since there were too many.
    pub refused_watchers: u64,
    /// How often that came of an exchange, by the numbers of [`Exchange`].
    pub exchanges: [u64; Exchange::COUNT],
}

impl Tally {
    /// The states that are told apart.
    pub const STATES: [State; 4] = [State::Unknown, State::Running, State::Done, State::Error];

    /// A poll was answered.
    pub fn add_poll(&self, state: State) {
        add(&self.polls[state as usize]);
    }

    /// An event was sent.
    pub fn add_event(&self) {
        add(&self.events);
    }

    /// This has come of an exchange.
    pub fn add_exchange(&self, exchange: Exchange) {
        add(&self.exchanges[exchange as usize]);
    }

    /// A watcher was turned away.
    pub fn add_refused_watcher(&self) {
        add(&self.refused_watchers);
    }
}

impl<'t> FromIterator<&'t Tally> for Tallied {
    fn from_iter<T: IntoIterator<Item = &'t Tally>>(tallies: T) -> Self {
        let mut all = Self::default();
        for tally in tallies {
            all.polls.iter_mut().zip(&tally.polls).for_each(|(count, more)| *count += more.load(Relaxed));
            all.events += tally.events.load(Relaxed);
            all.refused_watchers += tally.refused_watchers.load(Relaxed);
            all.exchanges.iter_mut().zip(&tally.exchanges).for_each(|(count, more)| *count += more.load(Relaxed));
        }
        all
    }
}

/// Adds one to what nobody else adds to.
fn add(count: &AtomicU64) {
    count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_count() {
        let tallies = [Tally::default(), Tally::default()];
        for (number, state) in Tally::STATES.into_iter().enumerate() {
            (0..=number).for_each(|turn| tallies[turn % 2].add_poll(state));
        }
        tallies[0].add_event();
        tallies[1].add_event();
        tallies[1].add_refused_watcher();
        tallies[0].add_exchange(Exchange::Broken);
        tallies[1].add_exchange(Exchange::Broken);
        let exchanges = [0, 0, 0, 0, 0, 0, 0, 0, 2];
        let expected = Tallied { polls: [1, 2, 3, 4], events: 2, refused_watchers: 1, exchanges };
        assert_eq!(tallies.iter().collect::<Tallied>(), expected);
    }
}
