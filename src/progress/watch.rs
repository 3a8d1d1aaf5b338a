//! Who watches a request.

use super::fingerprint::Fingerprint;
use super::sync::Mutex;

/// What is watched: whichever request an id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject(pub(crate) Fingerprint);

impl Subject {
    /// It as words.
    pub fn into_words(self) -> [u64; 2] {
        self.0.0
    }

    /// The one that was turned into `words`.
    pub fn from_words(words: [u64; 2]) -> Self {
        Self(Fingerprint(words))
    }
}

/// Workers, by their numbers. All from number 63 on stand for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workers(u64);

impl Workers {
    const LAST: usize = u64::BITS as usize - 1;

    /// Adds one.
    pub fn add(&mut self, worker: usize) {
        self.0 |= 1 << worker.min(Self::LAST);
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those among the first `count`.
    pub fn among(self, count: usize) -> impl Iterator<Item = usize> {
        (0..count).filter(move |worker| self.0 >> worker.min(&Self::LAST) & 1 != 0)
    }
}

/// What is told of what has ended and is watched, for each worker.
pub struct Inboxes<T = Subject>(Box<[Mutex<Vec<T>>]>);

impl<T: Clone> Inboxes<T> {
    /// Empty ones of so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Mutex::default()).collect())
    }

    /// Tells workers what has ended that they watch, and wakes each of them.
    pub fn put(&self, ended: T, workers: Workers, mut wake: impl FnMut(usize)) {
        for worker in workers.among(self.0.len()) {
            self.0[worker].lock().push(ended.clone());
            wake(worker);
        }
    }

    /// What a worker was told since it last asked.
    pub fn take(&self, worker: usize) -> Vec<T> {
        self.0.get(worker).map(|inbox| std::mem::take(&mut *inbox.lock())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_was_added() {
        let mut workers = Workers::default();
        assert!(workers.is_empty());
        for worker in [0, 5, 62] {
            workers.add(worker);
        }
        assert!(!workers.is_empty() && workers.among(100).eq([0, 5, 62]) && workers.among(6).eq([0, 5]));
        workers.add(70);
        assert!(workers.among(66).eq([0, 5, 62, 63, 64, 65]));
    }

    #[test]
    fn each_worker_is_told_and_woken() {
        let (inboxes, mut woken) = (Inboxes::new(3), Vec::new());
        let [one, other] = [1, 2].map(|word| Subject::from_words([word, 0]));
        let mut workers = Workers::default();
        workers.add(0);
        inboxes.put(one, workers, |worker| woken.push(worker));
        workers.add(2);
        workers.add(5);
        inboxes.put(other, workers, |worker| woken.push(worker));
        assert_eq!(woken, [0, 0, 2]);
        assert_eq!([0, 1, 2, 5].map(|worker| inboxes.take(worker)), [vec![one, other], vec![], vec![other], vec![]]);
        assert!(inboxes.take(0).is_empty(), "it is told once");
    }
}
