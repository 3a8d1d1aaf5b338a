//! Many requests, each sent once.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use testkit::{Client, head};

/// How many connections take turns.
const CONNECTIONS: usize = 8;

/// Ids of 32 characters, but for the long ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The number in digits.
    Counted,
    /// The number in so many digits.
    Long(usize),
    /// Numbers that are spread by a mixing function, in hexadecimal digits.
    Random,
    /// `Ez` and `FY`, which are equal under djb2, for the number's lowest 16 bits.
    Crafted,
}

impl Ids {
    /// How many there are with the same hash.
    pub const CRAFTED: u64 = 1 << 16;

    pub fn id(self, number: u64) -> String {
        match self {
            Self::Counted => format!("{number:032}"),
            Self::Long(length) => format!("{number:0length$}"),
            Self::Random => format!("{:016x}{:016x}", mixed(number), mixed(!number)),
            Self::Crafted => (0..16).map(|bit| if number >> bit & 1 == 0 { "Ez" } else { "FY" }).collect(),
        }
    }
}

/// As [`post_each`] where some may be answered otherwise; returns how many were.
///
/// # Errors
/// Where one is not answered.
pub fn count_refused(address: SocketAddr, target: &str, ids: Ids, numbers: Range<u64>) -> Result<u64, String> {
    each(address, numbers, |number| {
        head("POST", &format!("{target}?X-Progress-Id={}", ids.id(number)), "", Some(2)) + "hi"
    })
}

/// Sends a POST request with a small body for each number, from some connections at once, and waits for all answers.
///
/// # Errors
/// Where one is not answered with status 200.
pub fn post_each(address: SocketAddr, target: &str, ids: Ids, numbers: Range<u64>) -> Result<(), String> {
    none_refused(count_refused(address, target, ids, numbers)?)
}

/// Sends a GET request for each number, from some connections at once, and waits for all answers.
///
/// # Errors
/// Where one is not answered with status 200.
pub fn get_each(address: SocketAddr, target: &str, ids: Ids, numbers: Range<u64>) -> Result<(), String> {
    let request = |number| head("GET", &format!("{target}?X-Progress-Id={}", ids.id(number)), "", None);
    none_refused(each(address, numbers, request)?)
}

fn none_refused(refused: u64) -> Result<(), String> {
    if refused == 0 { Ok(()) } else { Err(format!("{refused} requests were not answered with status 200")) }
}

fn each(address: SocketAddr, numbers: Range<u64>, request: impl Fn(u64) -> String + Sync) -> Result<u64, String> {
    let next = AtomicU64::new(numbers.start);
    let work = || {
        let mut connection = Client::open(address)?;
        let mut refused = 0;
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= numbers.end {
                return Ok(refused);
            }
            connection.try_send(request(number))?;
            let answer = connection.try_answer_to("")?;
            refused += u64::from(answer.status != 200);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a sender does not panic")).sum()
    })
}

/// The finalizer of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn djb2(id: &str) -> u32 {
        id.bytes().fold(5381, |hash, byte| hash.wrapping_mul(33).wrapping_add(byte.into()))
    }

    #[test]
    fn ids_differ_and_have_32_characters() {
        for ids in [Ids::Counted, Ids::Random, Ids::Crafted] {
            let all: HashSet<_> = (0..Ids::CRAFTED).map(|number| ids.id(number)).collect();
            assert_eq!(all.len() as u64, Ids::CRAFTED, "{ids:?}");
            assert!(all.iter().all(|id| id.len() == 32), "{ids:?}");
        }
    }

    #[test]
    fn crafted_ids_are_equal_under_djb2() {
        let hashes: HashSet<_> = (0..Ids::CRAFTED).map(|number| djb2(&Ids::Crafted.id(number))).collect();
        assert_eq!(hashes.len(), 1);
    }
}
