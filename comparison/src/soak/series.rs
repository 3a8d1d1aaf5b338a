//! What was sampled, and whether it is flat.

use crate::statistics::Measured;

/// The host at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the begin.
    pub seconds: f64,
    /// In bytes: all that is in use, and what of it belongs to no file.
    pub memory: f64,
    pub anonymous: f64,
    /// Open files, with sockets.
    pub descriptors: f64,
    pub threads: f64,
    /// In the directory of `progress.store`.
    pub files: f64,
    /// How long a calm client waited for plain answers and polls since the last sample, in microseconds.
    pub plain_p50: f64,
    pub plain_p99: f64,
    pub poll_p50: f64,
    pub poll_p99: f64,
    /// The host's processor time for each request since the last sample, in microseconds.
    pub spent: f64,
    /// How many requests were answered so far.
    pub requests: f64,
}

/// A value of a sample, by its name.
pub type Column = (&'static str, fn(&Sample) -> f64);

pub const COLUMNS: [Column; 12] = [
    ("seconds", |sample| sample.seconds),
    ("memory_bytes", |sample| sample.memory),
    ("anonymous_bytes", |sample| sample.anonymous),
    ("descriptors", |sample| sample.descriptors),
    ("threads", |sample| sample.threads),
    ("store_files", |sample| sample.files),
    ("plain_p50_us", |sample| sample.plain_p50),
    ("plain_p99_us", |sample| sample.plain_p99),
    ("poll_p50_us", |sample| sample.poll_p50),
    ("poll_p99_us", |sample| sample.poll_p99),
    ("processor_us_per_request", |sample| sample.spent),
    ("requests", |sample| sample.requests),
];

/// What has to be flat, and the most that it may have become, as a factor. Clients come and go at random, which descriptors show;
/// how many there are at rest is compared exactly. Machines have other things to do, so that only a jump of a latency is one of
/// the host's: what it does to answer more slowly bit by bit shows in its processor time, and in a poll beside a plain answer.
const FLAT: [(Column, f64); 10] = [
    (("memory, bytes", |sample| sample.memory), 1.05),
    (("memory that belongs to no file, bytes", |sample| sample.anonymous), 1.05),
    (("descriptors", |sample| sample.descriptors), 1.1),
    (("threads", |sample| sample.threads), 1.0),
    (("files of progress.store", |sample| sample.files), 1.0),
    (("processor time for a request, µs", |sample| sample.spent), 1.25),
    (("poll, p50, µs", |sample| sample.poll_p50), 3.0),
    (("poll, p99, µs", |sample| sample.poll_p99), 3.0),
    (("poll in plain answers, p50", |sample| sample.poll_p50 / sample.plain_p50), 1.25),
    (("poll in plain answers, p99", |sample| sample.poll_p99 / sample.plain_p99), 1.5),
];

/// Something in the second quarter of the time and in the last, in the median.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub what: &'static str,
    pub early: f64,
    pub late: f64,
    /// The most that it may have become, as a factor.
    pub most: f64,
}

impl Verdict {
    pub fn is_flat(&self) -> bool {
        self.late <= self.early * self.most
    }
}

/// Compares the last quarter of at least four samples with the second: in the first one a host becomes what it is.
pub fn judge(samples: &[Sample]) -> impl Iterator<Item = Verdict> {
    let quarter = samples.len() / 4;
    let (early, late) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    FLAT.into_iter().map(move |((what, value), most)| {
        let median = |samples: &[Sample]| Measured::of(samples.iter().map(value)).median;
        Verdict { what, early: median(early), late: median(late), most }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour of samples that go up and down, changed by how far the time is (0 to 1), and what of them is not flat.
    fn not_flat(change: impl Fn(&mut Sample, f64)) -> Vec<&'static str> {
        let samples: Vec<_> = (0..720)
            .map(|number| {
                let noise = 1.0 + f64::from(number * 7919 % 100) / 1000.0;
                let mut sample = Sample {
                    seconds: f64::from(number) * 5.0,
                    memory: 12e6 * noise,
                    anonymous: 6e6 * noise,
                    descriptors: (90.0 * noise).round(),
                    threads: 3.0,
                    files: 2.0,
                    plain_p50: 100.0 * noise,
                    plain_p99: 900.0 * noise,
                    poll_p50: 104.0 * noise,
                    poll_p99: 950.0 * noise,
                    spent: 200.0 * noise,
                    requests: 0.0,
                };
                change(&mut sample, f64::from(number) / 720.0);
                sample
            })
            .collect();
        judge(&samples).filter(|verdict| !verdict.is_flat()).map(|verdict| verdict.what).collect()
    }

    #[test]
    fn what_goes_up_and_down_is_flat() {
        assert_eq!(not_flat(|_, _| {}), [""; 0]);
    }

    #[test]
    fn what_is_so_for_a_while_is_flat() {
        let burst = |sample: &mut Sample, time: f64| {
            if time < 0.2 || (0.45..0.6).contains(&time) {
                (sample.memory, sample.descriptors, sample.poll_p99) = (90e6, 4000.0, 1e6);
            }
        };
        assert_eq!(not_flat(burst), [""; 0]);
    }

    #[test]
    fn a_leak_is_not_flat() {
        let memory = |sample: &mut Sample, time: f64| {
            sample.memory += 2e6 * time;
            sample.anonymous += 2e6 * time;
        };
        assert_eq!(not_flat(memory), ["memory, bytes", "memory that belongs to no file, bytes"]);
        assert_eq!(not_flat(|sample, time| sample.descriptors += (40.0 * time).floor()), ["descriptors"]);
        assert_eq!(not_flat(|sample, time| sample.threads += (4.0 * time).floor()), ["threads"]);
        assert_eq!(not_flat(|sample, time| sample.files += (20.0 * time).floor()), ["files of progress.store"]);
    }

    #[test]
    fn answers_that_take_longer_are_not_flat() {
        let jump = |sample: &mut Sample, time: f64| {
            if time > 0.6 {
                (sample.plain_p50, sample.poll_p50) = (sample.plain_p50 * 4.0, sample.poll_p50 * 4.0);
            }
        };
        assert_eq!(not_flat(jump), ["poll, p50, µs"]);
        assert_eq!(not_flat(|sample, time| sample.poll_p50 *= 1.0 + time), ["poll in plain answers, p50"]);
        assert_eq!(not_flat(|sample, time| sample.poll_p99 *= 1.0 + 3.0 * time), ["poll in plain answers, p99"]);
        let busier = |sample: &mut Sample, time: f64| sample.spent *= 1.0 + time;
        assert_eq!(not_flat(busier), ["processor time for a request, µs"]);
    }
}
