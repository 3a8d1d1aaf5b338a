//! What is known of one request at one moment.

use super::rate::average;
use super::{End, Numbers, Outcome, Statuses, Timestamp};

/// What is known of one request at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How far it is, or was when it ended.
    pub numbers: Numbers,
    /// When it was first tracked.
    pub began: Timestamp,
    /// How far its response is. Of a request that has ended, only whether its size is known.
    pub response: Response,
    /// Bytes per second: of its body, or of its response once that has begun, over the last seconds; where it has ended, of both
    /// since it began. `None` where no time has passed.
    pub rate: Option<u64>,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
}

/// How far the response to a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// There is none yet.
    Awaited,
    /// It has begun, and nobody has said how long it will be.
    Begun,
    /// It has begun or is over, and has so many bytes in all, headers included, or a few more.
    Sized(u64),
}

impl Response {
    /// Numbers that the counters have, with the size that the response will have, where that is known.
    pub fn of(self, numbers: Numbers) -> Numbers {
        match self {
            Self::Awaited | Self::Begun => numbers,
            Self::Sized(size) => numbers.expecting(size),
        }
    }
}

/// A response in one word: there is one for each running request.
#[derive(Clone, Copy)]
pub(crate) struct ResponseWord(u64);

impl ResponseWord {
    const AWAITED: u64 = u64::MAX;
    const BEGUN: u64 = u64::MAX - 1;

    /// No response is longer than what it can tell.
    pub fn new(response: Response) -> Self {
        Self(match response {
            Response::Awaited => Self::AWAITED,
            Response::Begun => Self::BEGUN,
            Response::Sized(size) => size.min(Self::BEGUN - 1),
        })
    }

    pub fn get(self) -> Response {
        match self.0 {
            Self::AWAITED => Response::Awaited,
            Self::BEGUN => Response::Begun,
            size => Response::Sized(size),
        }
    }
}

/// The states that answers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no such request, or its time to live is over.
    Unknown,
    /// It has not ended.
    Running,
    /// It ended well.
    Done,
    /// It ended otherwise.
    Error,
}

/// What a running request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its body arrives.
    Receiving,
    /// All of its body has arrived, and there is no response yet.
    Waiting,
    /// Its response has begun.
    Sending,
}

impl Snapshot {
    /// That of a request that has ended; `is_sized`: whether it is known how long its response is, or would have been.
    pub fn ended(numbers: Numbers, is_sized: bool, outcome: Outcome) -> Self {
        Self {
            numbers,
            began: outcome.began,
            response: if is_sized { Response::Sized(numbers.response_size()) } else { Response::Begun },
            rate: average(numbers.moved(), outcome.ended.since(outcome.began)),
            outcome: Some(outcome),
        }
    }

    /// What it does; `None` where it has ended.
    pub fn phase(&self) -> Option<Phase> {
        match (self.outcome, self.response) {
            (Some(_), _) => None,
            (None, Response::Begun | Response::Sized(_)) => Some(Phase::Sending),
            (None, Response::Awaited) if self.numbers.request_size() == Some(self.numbers.received()) => {
                Some(Phase::Waiting)
            }
            (None, Response::Awaited) => Some(Phase::Receiving),
        }
    }

    /// Of what is known of one id in two places, that of the request which began later; of two that began at once, the second.
    pub fn newest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).max_by_key(|known| known.began)
    }

    /// Whether it has ended before it was whole.
    pub fn is_broken_off(&self) -> bool {
        self.outcome.is_some_and(|outcome| matches!(outcome.end, End::BrokenOff(_)))
    }

    /// How many milliseconds it has taken so far, or took.
    pub fn elapsed(&self, now: Timestamp) -> u64 {
        self.outcome.map_or(now, |outcome| outcome.ended).since(self.began)
    }

    /// How many seconds what it does will take at its rate, rounded up. `None` where that cannot be told.
    pub fn remaining(&self) -> Option<u64> {
        let left = match self.phase()? {
            Phase::Receiving => self.numbers.request_size()?.saturating_sub(self.numbers.received()),
            Phase::Waiting => return None,
            Phase::Sending => match self.response {
                // What its chunks add was not in the size that was declared.
                Response::Sized(_) => self.numbers.response_size().saturating_sub(self.numbers.sent()),
                Response::Awaited | Response::Begun => return None,
            },
        };
        let rate = self.rate.filter(|rate| *rate > 0)?;
        Some(left.div_ceil(rate))
    }
}

/// A snapshot as it is kept outside of this process: any words are one.
pub type SnapshotWords = [u64; 8];

/// Bits of the last word: the size of the request is known, how far the response is, whether it has ended, and how.
const HAS_REQUEST_SIZE: u64 = 1;
const BEGUN: u64 = 1 << 1;
const SIZED: u64 = 1 << 2;
const HAS_RATE: u64 = 1 << 3;
const ENDED: u64 = 1 << 4;
const END: u32 = 5;
/// The status is in the upper half.
const STATUS: u32 = 32;

impl Snapshot {
    /// It as words.
    pub fn into_words(self) -> SnapshotWords {
        let Self { numbers, began, response, rate, outcome } = self;
        let (response_bits, size) = match response {
            Response::Awaited => (0, 0),
            Response::Begun => (BEGUN, 0),
            Response::Sized(size) => (SIZED, size),
        };
        let request_bits = if numbers.request_size().is_some() { HAS_REQUEST_SIZE } else { 0 };
        let (end_bits, ended) = match outcome {
            None => (0, 0),
            Some(outcome) => {
                let status = u64::from(outcome.status as u32) << STATUS;
                (ENDED | outcome.end.into_bits() << END | status, outcome.ended.0)
            }
        };
        let rate_bits = if outcome.is_none() && rate.is_some() { HAS_RATE } else { 0 };
        [
            began.0,
            numbers.received(),
            numbers.sent(),
            numbers.request_size().unwrap_or(0),
            numbers.response_size(),
            size,
            if outcome.is_none() { rate.unwrap_or(0) } else { ended },
            request_bits | response_bits | rate_bits | end_bits,
        ]
    }

    /// The one that was turned into `words`.
    pub fn from_words(words: SnapshotWords) -> Self {
        let [began, received, sent, request_size, response_size, size, last, bits] = words;
        let began = Timestamp(began);
        let request_size = (bits & HAS_REQUEST_SIZE != 0).then_some(request_size);
        let numbers = Numbers::new(received, sent, request_size, response_size);
        if bits & ENDED != 0 {
            let end = End::from_bits(bits >> END);
            let outcome = Outcome { status: (bits >> STATUS) as u32 as i32, end, began, ended: Timestamp(last) };
            return Self::ended(numbers, bits & SIZED != 0, outcome);
        }
        let response = match (bits & BEGUN != 0, bits & SIZED != 0) {
            (_, true) => Response::Sized(size),
            (true, false) => Response::Begun,
            (false, false) => Response::Awaited,
        };
        Self { numbers, began, response, rate: (bits & HAS_RATE != 0).then_some(last), outcome: None }
    }
}

impl Snapshot {
    /// The same on a clock that is ahead by so many milliseconds.
    pub fn shifted(self, ahead: i64) -> Self {
        let shift = |moment: Timestamp| Timestamp(moment.0.saturating_add_signed(ahead));
        let outcome =
            self.outcome.map(|outcome| Outcome { began: shift(outcome.began), ended: shift(outcome.ended), ..outcome });
        Self { began: shift(self.began), outcome, ..self }
    }
}

impl State {
    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Done => "done",
            Self::Error => "error",
        }
    }

    /// The state that a request is in, where `success` are the statuses of those that ended well.
    pub fn of(snapshot: Option<&Snapshot>, success: &Statuses) -> Self {
        match snapshot.map(|snapshot| snapshot.outcome) {
            None => Self::Unknown,
            Some(None) => Self::Running,
            Some(Some(outcome)) if outcome.is_success(success) => Self::Done,
            Some(Some(_)) => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_two_is_what_began_later() {
        let known = |began, received| {
            let numbers = Numbers::new(received, 0, None, 0);
            Some(Snapshot { numbers, began: Timestamp(began), response: Response::Awaited, rate: None, outcome: None })
        };
        for (one, other, newest) in [
            (None, None, None),
            (known(1, 1), None, known(1, 1)),
            (None, known(1, 2), known(1, 2)),
            (known(2, 1), known(1, 2), known(2, 1)),
            (known(1, 1), known(2, 2), known(2, 2)),
            (known(1, 1), known(1, 2), known(1, 2)),
        ] {
            assert_eq!(Snapshot::newest(one, other), newest);
        }
    }

    fn running(numbers: Numbers, response: Response) -> Snapshot {
        Snapshot { numbers, began: Timestamp(1_000), response, rate: Some(100), outcome: None }
    }

    #[test]
    fn a_phase_follows_the_other() {
        let [early, late] = [10, 1_000].map(|received| Numbers::new(received, 25, Some(1_000), 25));
        let chunked = Numbers::new(10, 0, None, 0);
        let cases = [
            (running(chunked, Response::Awaited), Phase::Receiving, None),
            (running(early, Response::Awaited), Phase::Receiving, Some(10)),
            (running(late, Response::Awaited), Phase::Waiting, None),
            (running(early, Response::Begun), Phase::Sending, None),
            (running(late.expecting(1_026), Response::Sized(1_026)), Phase::Sending, Some(11)),
            (running(late.expecting(1_126), Response::Sized(25)), Phase::Sending, Some(12)),
        ];
        for (snapshot, phase, remaining) in cases {
            assert_eq!((snapshot.phase(), snapshot.remaining()), (Some(phase), remaining), "{snapshot:?}");
            let slow = Snapshot { rate: None, ..snapshot };
            let still = Snapshot { rate: Some(0), ..snapshot };
            assert_eq!([slow.remaining(), still.remaining()], [None, None], "{snapshot:?}");
        }
    }

    #[test]
    fn time_stands_still_where_it_has_ended() {
        let numbers = Numbers::new(3_000, 500, None, 500);
        let outcome = Outcome { status: 200, end: End::Whole, began: Timestamp(1_000), ended: Timestamp(3_500) };
        let snapshot = Snapshot::ended(numbers, true, outcome);
        let now = Timestamp(9_000);
        assert_eq!((snapshot.elapsed(now), snapshot.rate), (2_500, Some(1_400)));
        assert_eq!((snapshot.phase(), snapshot.remaining()), (None, None));
        assert_eq!(running(numbers, Response::Begun).elapsed(now), 8_000);
    }

    #[test]
    fn another_clock_changes_when_it_was_and_not_how_long_it_took() {
        let numbers = Numbers::new(3_000, 500, None, 500);
        let outcome = Outcome { status: 200, end: End::Whole, began: Timestamp(1_000), ended: Timestamp(3_500) };
        let [here, there, before] = [(1_000, 3_500), (1_600, 4_100), (0, 1_500)].map(|(began, ended)| {
            let [began, ended] = [began, ended].map(Timestamp);
            Snapshot {
                began,
                outcome: Some(Outcome { began, ended, ..outcome }),
                ..Snapshot::ended(numbers, true, outcome)
            }
        });
        assert_eq!(
            [here.shifted(0), here.shifted(600), there.shifted(-600), here.shifted(-2_000)],
            [here, there, here, before]
        );
        let running = running(numbers, Response::Begun);
        assert_eq!(running.shifted(600), Snapshot { began: Timestamp(1_600), ..running });
    }

    #[test]
    fn comes_back_out_of_its_words() {
        let random = &mut fastrand::Rng::with_seed(9);
        for _ in 0..10_000 {
            let snapshot = Snapshot::from_words(std::array::from_fn(|_| random.u64(..)));
            assert_eq!(Snapshot::from_words(snapshot.into_words()), snapshot);
        }
        let [began, ended] = [Timestamp(1_000), Timestamp(3_500)];
        for numbers in [None, Some(0), Some(9)].map(|request_size| Numbers::new(0, 400, request_size, 500)) {
            for response in [Response::Awaited, Response::Begun, Response::Sized(700)] {
                for rate in [None, Some(0), Some(7)] {
                    let snapshot = Snapshot { rate, ..running(numbers, response) };
                    assert_eq!(Snapshot::from_words(snapshot.into_words()), snapshot);
                }
            }
            for end in End::ALL {
                for is_sized in [false, true] {
                    let snapshot = Snapshot::ended(numbers, is_sized, Outcome { status: -1, end, began, ended });
                    assert_eq!(Snapshot::from_words(snapshot.into_words()), snapshot);
                    assert_eq!(snapshot.is_broken_off(), end != End::Whole);
                }
            }
            assert!(!running(numbers, Response::Begun).is_broken_off());
        }
    }
}
