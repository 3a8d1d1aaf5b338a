//! The table alone: what one operation takes, by the number of finished entries and of threads; and what formats take.

use criterion::{BenchmarkId, Criterion};
use progress::{Counters, Ending, Format, Numbers, Report, RequestId, Table, TimeToLive, Timestamp};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(0);
const DONE: Ending = Ending { status: 200, whole: true };
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
const THREADS: [usize; 4] = [1, 2, 4, 8];
/// How many entries the threads share.
const SHARED: u64 = 10_000;

/// A request that stands still.
struct Still;

impl Counters for Still {
    fn read(&self) -> Numbers {
        Numbers::new(1_000, 0, 5_000, 0)
    }
}

/// Ids of 32 bytes, in an order that no table likes better than another.
fn id(number: u64) -> [u8; 32] {
    let digits = format!("{:032}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    digits.into_bytes().try_into().expect("32 digits")
}

fn ids(count: u64) -> Vec<[u8; 32]> {
    (0..count).map(id).collect()
}

fn request_id(id: &[u8; 32]) -> RequestId<'_> {
    RequestId::new(id).expect("an id that is not too long")
}

fn track_and_finish(table: &Table<Still>, id: &[u8; 32], now: Timestamp) {
    let ticket = table.track(request_id(id), Still, now).expect("a table that is on");
    table.finish(ticket, DONE, now);
}

fn filled(ids: &[[u8; 32]]) -> Table<Still> {
    let table = Table::default();
    ids.iter().for_each(|id| track_and_finish(&table, id, NOW));
    table
}

/// Does `operation` so many times in all on some threads, with the number of each time, and returns how long that took.
fn on_threads(threads: usize, times: u64, operation: impl Fn(u64) + Sync) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for first in 0..threads as u64 {
            let operation = &operation;
            scope.spawn(move || (first..times).step_by(threads).for_each(operation));
        }
    });
    start.elapsed()
}

/// Where each benchmark only runs once, to see that it works, large tables would take the most time.
fn is_test() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

fn by_size(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("entries");
    for size in SIZES.into_iter().filter(|size| *size == SIZES[0] || !is_test()) {
        let ids = ids(size);
        let table = filled(&ids);
        let mut next = ids.iter().cycle();
        group.bench_function(BenchmarkId::new("poll", size), |bencher| {
            bencher.iter(|| table.report(request_id(next.next().expect("an endless line")), NOW));
        });
        group.bench_function(BenchmarkId::new("track and finish", size), |bencher| {
            bencher.iter(|| track_and_finish(&table, next.next().expect("an endless line"), NOW));
        });
    }
    group.finish();
}

fn by_threads(criterion: &mut Criterion) {
    let ids = ids(SHARED);
    let at = |number: u64| &ids[(number % SHARED) as usize];
    let table = filled(&ids);
    let mut group = criterion.benchmark_group("threads");
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("poll", threads), |bencher| {
            bencher.iter_custom(|times| {
                on_threads(threads, times, |number| _ = black_box(table.report(request_id(at(number)), NOW)))
            });
        });
        group.bench_function(BenchmarkId::new("poll one id", threads), |bencher| {
            bencher.iter_custom(|times| {
                on_threads(threads, times, |_| _ = black_box(table.report(request_id(at(0)), NOW)))
            });
        });
        group.bench_function(BenchmarkId::new("track and finish", threads), |bencher| {
            bencher.iter_custom(|times| on_threads(threads, times, |number| track_and_finish(&table, at(number), NOW)));
        });
    }
    group.finish();
}

/// Each new request takes old ones out, so that the table keeps its size.
fn expire(criterion: &mut Criterion) {
    let table = Table::default();
    table.set_time_to_live(TimeToLive::new(1).expect("a second is accepted"));
    let clock = AtomicU64::new(0);
    criterion.bench_function("track, finish and expire", |bencher| {
        bencher.iter(|| {
            let now = clock.fetch_add(1, Relaxed);
            track_and_finish(&table, &id(now), Timestamp(now));
        });
    });
}

fn formats(criterion: &mut Criterion) {
    let numbers = Numbers::new(123_456, 0, 200_000, 0);
    let mut group = criterion.benchmark_group("formats");
    for format in [Format::Json, Format::Jsonp, Format::Legacy] {
        group.bench_function(format!("{format:?}"), |bencher| {
            bencher.iter(|| format.write(black_box(&Report::Running(numbers)), b"progress"));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for benchmark in [by_size, by_threads, expire, formats] {
        benchmark(&mut criterion);
    }
    criterion.final_summary();
}
