//! Each target is given what is stored for it, and some more of that kind.

use fastrand::Rng;
use fuzz::{TARGETS, Target};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Inputs that are made for each target, and for those that take a while.
const INPUTS: usize = 20_000;
const SLOW_INPUTS: usize = 500;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16).expect("digits");
    text.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// One like those that are stored: pieces of them and words, some bytes of which are others.
fn make(random: &mut Rng, corpus: &[Vec<u8>], dictionary: &[&str]) -> Vec<u8> {
    let mut made = Vec::new();
    for _ in 0..random.usize(1..5) {
        match random.choice(corpus) {
            Some(input) if random.u8(..3) > 0 => {
                let (one, other) = (random.usize(..=input.len()), random.usize(..=input.len()));
                made.extend_from_slice(&input[one.min(other)..one.max(other)]);
            }
            _ => made.extend(random.choice(dictionary).map_or("", |word| word).bytes()),
        }
        if random.bool() {
            made.extend((0..random.usize(..20)).map(|_| random.u8(..)));
        }
    }
    for _ in 0..random.usize(..4) {
        if let Some(place) = (!made.is_empty()).then(|| random.usize(..made.len())) {
            made[place] = random.u8(..);
        }
    }
    made
}

#[test]
fn each_target_takes_whatever_comes() {
    for target in TARGETS {
        let stored = corpus(target);
        assert!(!stored.is_empty(), "nothing is stored for {}", target.name);
        let random = &mut Rng::with_seed(7);
        let count = if target.is_slow { SLOW_INPUTS } else { INPUTS };
        let made: Vec<_> = (0..count).map(|_| make(random, &stored, target.dictionary)).collect();
        for input in stored.iter().chain(&made) {
            let taken = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
            assert!(taken.is_ok(), "{} does not take {}", target.name, input.escape_ascii());
        }
    }
}
