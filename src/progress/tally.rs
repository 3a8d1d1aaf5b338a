//! What a worker counts for itself, for those who watch a server.

use super::State;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one worker has done. It alone adds to it, so that no two of them write the same memory; anybody may read it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Tally {
    polls: [AtomicU64; Self::STATES.len()],
    events: AtomicU64,
    refused_watchers: AtomicU64,
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
        let expected = Tallied { polls: [1, 2, 3, 4], events: 2, refused_watchers: 1 };
        assert_eq!(tallies.iter().collect::<Tallied>(), expected);
    }
}
