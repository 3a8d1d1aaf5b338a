//! The table alone: what one operation takes, by the number of finished entries and of threads; and what formats take.

use criterion::{BenchmarkId, Criterion};
use progress::{About, FORMATS, Format, List, ListQuery, Response, Snapshot};
use progress::{Counters, End, Entries, Key, Numbers, RequestId, Table, TimeToLive, Timestamp};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(0);
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
const THREADS: [usize; 4] = [1, 2, 4, 8];
/// How many entries the threads share.
const SHARED: u64 = 10_000;

/// A request that stands still.
#[derive(Clone)]
struct Still;

impl Counters for Still {
    fn read(&self) -> Numbers {
        Numbers::new(1_000, 0, Some(5_000), 0)
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
    let ticket = table.track(request_id(id), &Still, now).expect("there is room");
    table.finish(ticket, 200, End::Whole, now);
}

/// A table that has room for all entries of these benchmarks.
fn empty(seconds: i64) -> Table<Still> {
    let time_to_live = TimeToLive::new(seconds).expect("a time to live that is accepted");
    Table::new(time_to_live, Entries::new(1_040_000).expect("a number that is accepted"), Key::new(&[7; 16]))
}

fn filled(ids: &[[u8; 32]]) -> Table<Still> {
    let table = empty(30);
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

/// In the order in which the entries were made, and in another one, in which the next entry is hardly ever in a cache.
fn by_size(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("entries");
    for size in SIZES.into_iter().filter(|size| *size == SIZES[0] || !is_test()) {
        let in_order = ids(size);
        let mut at_random = in_order.clone();
        fastrand::Rng::with_seed(size).shuffle(&mut at_random);
        for (order, ids) in [("in order", &in_order), ("at random", &at_random)] {
            let table = filled(&in_order);
            let mut next = ids.iter().cycle();
            let mut next = move || next.next().expect("an endless line");
            group.bench_function(BenchmarkId::new(format!("poll {order}"), size), |bencher| {
                bencher.iter(|| table.look_up(request_id(next()), NOW));
            });
            group.bench_function(BenchmarkId::new(format!("track and finish {order}"), size), |bencher| {
                bencher.iter(|| track_and_finish(&table, next(), NOW));
            });
        }
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
                on_threads(threads, times, |number| _ = black_box(table.look_up(request_id(at(number)), NOW)))
            });
        });
        group.bench_function(BenchmarkId::new("poll one id", threads), |bencher| {
            bencher.iter_custom(|times| {
                on_threads(threads, times, |_| _ = black_box(table.look_up(request_id(at(0)), NOW)))
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
    let table = empty(1);
    let clock = AtomicU64::new(0);
    criterion.bench_function("track, finish and expire", |bencher| {
        bencher.iter(|| {
            let now = clock.fetch_add(1, Relaxed);
            track_and_finish(&table, &id(now), Timestamp(now));
        });
    });
}

fn formats(criterion: &mut Criterion) {
    let numbers = Numbers::new(123_456, 0, Some(200_000), 0);
    let snapshot = Snapshot { numbers, began: NOW, response: Response::Awaited, rate: Some(1_000), outcome: None };
    let callback = Some(&b"progress"[..]);
    let about = |format: &Format| About {
        snapshot: Some(&snapshot),
        id: b"0123456789abcdef",
        details: None,
        callback: callback.filter(|_| format.callback.is_some()),
        success: None,
        now: NOW.after(12_345),
        unix_time: |moment| moment.0,
    };
    let mut group = criterion.benchmark_group("formats");
    for format in FORMATS {
        group.bench_function(format.name, |bencher| {
            bencher.iter(|| format.write(black_box(&about(format))));
        });
    }
    group.finish();
}

/// What a worker does of a list of many requests before it does something else.
fn lists(criterion: &mut Criterion) {
    const PER_MILLISECOND: usize = 100;
    let table = empty(30);
    for (number, id) in ids(1_000_000).iter().enumerate() {
        track_and_finish(&table, id, Timestamp((number / PER_MILLISECOND) as u64));
    }
    let now = Timestamp(20_000);
    let mut group = criterion.benchmark_group("a step of a list of a million");
    for asked in ["all", "state=error", "sort=elapsed"] {
        let query = ListQuery::new(asked.as_bytes()).expect("a query");
        let new = || List::new(query, false, None, |moment| moment.0);
        let (mut list, mut body) = (new(), Vec::new());
        group.bench_function(asked, |bencher| {
            bencher.iter(|| {
                body.clear();
                if !list.go_on(&table, now, &mut body) {
                    list = new();
                }
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for benchmark in [by_size, by_threads, expire, formats, lists] {
        benchmark(&mut criterion);
    }
    criterion.final_summary();
}
