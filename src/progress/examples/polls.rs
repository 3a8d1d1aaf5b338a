//! Polls a table of finished entries so often: to be run by cachegrind, once with few polls and once with many, so that the
//! difference tells what a poll costs.
//!
//! ```text
//! valgrind --tool=cachegrind --cache-sim=yes target/release/examples/polls ENTRIES POLLS [random]
//! ```

use progress::{Counters, End, Entries, Key, Numbers, RequestId, Table, TimeToLive, Timestamp};
use std::hint::black_box;

const NOW: Timestamp = Timestamp(0);

#[derive(Clone)]
struct Still;

impl Counters for Still {
    fn read(&self) -> Numbers {
        Numbers::new(1_000, 0, Some(5_000), 0)
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).and_then(|text| text.parse::<u64>().ok());
    let (Some(entries), Some(polls)) = (number(0), number(1)) else {
        eprintln!("usage: polls ENTRIES POLLS [random]");
        std::process::exit(2);
    };
    let most = Entries::new((entries + entries / 16).max(1_000) as i64).expect("at most 50 million entries");
    let table = Table::new(TimeToLive::default(), most, Key::new(&[7; 16]));
    for number in 0..entries {
        let id = format!("{number:032}");
        let ticket = table.track(RequestId::new(id.as_bytes()).expect("32 bytes"), &Still, NOW).expect("there is room");
        table.finish(ticket, 200, End::Whole, NOW);
    }
    let is_random = arguments.get(2).is_some_and(|word| word == "random");
    let mut random = fastrand::Rng::with_seed(entries);
    for poll in 0..polls {
        let number = if is_random { random.u64(..entries) } else { poll % entries };
        let id = format!("{number:032}");
        let _ = black_box(table.look_up(RequestId::new(id.as_bytes()).expect("32 bytes"), NOW));
    }
}
