//! Numbers that others have heard.

use super::Numbers;
use super::sync::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// Numbers that other processes have heard of: one thread writes them, and any reads them, each by itself.
#[derive(Default)]
pub struct ToldNumbers {
    received: AtomicU64,
    sent: AtomicU64,
    /// One more than that, or 0 where it is not known.
    request_size: AtomicU64,
    response_size: AtomicU64,
}

impl ToldNumbers {
    /// These.
    pub fn new(numbers: Numbers) -> Self {
        let told = Self::default();
        told.set(numbers);
        told
    }

    /// Makes it these.
    pub fn set(&self, numbers: Numbers) {
        // Never more is sent than there is to send, whoever reads in between.
        self.response_size.store(numbers.response_size(), Relaxed);
        self.sent.store(numbers.sent(), Release);
        self.request_size.store(numbers.request_size().map_or(0, |size| size.saturating_add(1)), Relaxed);
        self.received.store(numbers.received(), Relaxed);
    }

    /// The numbers now.
    pub fn get(&self) -> Numbers {
        let (received, sent) = (self.received.load(Relaxed), self.sent.load(Acquire));
        let request_size = self.request_size.load(Relaxed).checked_sub(1);
        Numbers::new(received, sent, request_size, self.response_size.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_last_is_told() {
        let told = ToldNumbers::default();
        assert_eq!(told.get(), Numbers::new(0, 0, None, 0));
        for numbers in [Numbers::new(1, 2, Some(3), 4), Numbers::new(5, 6, None, 7), Numbers::new(0, 0, Some(0), 0)] {
            told.set(numbers);
            assert_eq!((told.get(), ToldNumbers::new(numbers).get()), (numbers, numbers));
        }
    }
}
