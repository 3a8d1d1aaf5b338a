//! How many more entries the shards may have between them.

use super::sync::{AtomicUsize, Ordering::Relaxed};

/// A shard keeps at most a 32nd of its share for itself, unused.
const PARTS: usize = 64;

/// The most entries that a shard takes at once.
const LARGEST_PORTION: usize = 64;

/// The entries that no shard has taken yet. Shards take some at a time, so that they seldom meet here.
pub struct Budget {
    left: AtomicUsize,
    portion: usize,
}

impl Budget {
    /// `entries` in all, for `shards` shards.
    pub fn new(entries: usize, shards: usize) -> Self {
        let portion = (entries / shards / PARTS).clamp(1, LARGEST_PORTION);
        Self { left: AtomicUsize::new(entries), portion }
    }

    fn take(&self) -> usize {
        let taken = self.left.fetch_update(Relaxed, Relaxed, |left| Some(left - left.min(self.portion)));
        taken.map_or(0, |left| left.min(self.portion))
    }

    /// Takes back entries that are gone.
    pub fn give_back(&self, entries: usize) {
        self.left.fetch_add(entries, Relaxed);
    }
}

/// Entries that a shard has taken out of the budget and has no use for yet.
#[derive(Default)]
pub struct Allowance(usize);

impl Allowance {
    /// Uses one up, of the budget's where there is none left; whether that was possible.
    pub fn spend(&mut self, budget: &Budget) -> bool {
        if self.0 == 0 {
            self.0 = budget.take();
        }
        let is_there = self.0 > 0;
        self.0 -= usize::from(is_there);
        is_there
    }

    /// Takes back one that was used. What is not needed soon goes back to the budget.
    pub fn regain(&mut self, budget: &Budget) {
        self.0 += 1;
        if self.0 > 2 * budget.portion {
            self.0 -= budget.portion;
            budget.give_back(budget.portion);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_spent_than_there_is() {
        for (entries, shards) in [(1_000, 16), (1_000_000, 64), (1_003, 7)] {
            let budget = Budget::new(entries, shards);
            let mut allowances: Vec<_> = (0..shards).map(|_| Allowance::default()).collect();
            let mut spent = 0;
            while allowances.iter_mut().any(|allowance| allowance.spend(&budget)) {
                spent += 1;
            }
            assert_eq!(spent, entries, "{shards} shards");
            for number in 0..entries {
                allowances[number % shards].regain(&budget);
            }
            let kept: usize = allowances.iter().map(|allowance| allowance.0).sum();
            assert_eq!(kept + budget.left.load(Relaxed), entries);
            assert!(kept <= entries / 32 + 2 * shards, "{kept} of {entries} are kept by {shards} shards");
        }
    }

    #[test]
    fn two_portions_are_kept_before_one_is_given_back() {
        let (budget, mut allowance) = (Budget::new(64_000, 1), Allowance::default());
        let portion = LARGEST_PORTION;
        assert!((0..3 * portion).all(|_| allowance.spend(&budget)));
        (0..2 * portion).for_each(|_| allowance.regain(&budget));
        assert_eq!((allowance.0, budget.left.load(Relaxed)), (2 * portion, 64_000 - 3 * portion));
        allowance.regain(&budget);
        assert_eq!((allowance.0, budget.left.load(Relaxed)), (portion + 1, 64_000 - 2 * portion));
    }
}
