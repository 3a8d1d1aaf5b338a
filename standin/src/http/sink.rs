//! Takes bodies, at a given rate.

use std::time::{Duration, Instant};

/// How often a throttled body gets on.
const TICK: Duration = Duration::from_millis(20);

/// What takes the body of one request.
pub struct Sink {
    /// How many bytes are taken how often; all there are, where there is no limit.
    limit: Option<(usize, Duration)>,
    left: usize,
    next: Instant,
}

impl Sink {
    /// One that takes no more than so many bytes in a second.
    pub fn new(bytes_per_second: Option<u64>, now: Instant) -> Self {
        let limit = bytes_per_second.map(|rate| {
            let tick = TICK.max(Duration::from_secs_f64(1.0 / rate as f64));
            ((rate as f64 * tick.as_secs_f64()) as usize, tick)
        });
        Self { limit, left: 0, next: now }
    }

    /// How many bytes it takes now.
    pub fn room(&mut self, now: Instant) -> usize {
        let Some((quantum, tick)) = self.limit else { return usize::MAX };
        if now >= self.next {
            self.left = quantum.max(1);
            self.next = now + tick;
        }
        self.left
    }

    /// So many bytes were taken.
    pub fn take(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
    }

    /// When it takes more, where it takes none now.
    pub fn wake_at(&self) -> Option<Instant> {
        (self.limit.is_some() && self.left == 0).then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_more_than_its_rate() {
        for rate in [1, 7, 50, 1000, 2_000_000] {
            let mut now = Instant::now();
            let end = now + Duration::from_secs(10);
            let (mut sink, mut taken) = (Sink::new(Some(rate), now), 0);
            while now < end {
                let room = sink.room(now);
                sink.take(room);
                taken += room as u64;
                now = sink.wake_at().expect("it is empty");
            }
            assert!((rate * 9..=rate * 10).contains(&taken), "{taken} bytes at {rate}");
        }
    }

    #[test]
    fn without_a_rate_takes_all() {
        let mut sink = Sink::new(None, Instant::now());
        assert_eq!(sink.room(Instant::now()), usize::MAX);
        assert_eq!(sink.wake_at(), None);
    }
}
