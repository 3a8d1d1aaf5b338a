//! Each target is given what is stored for it, and some more of that kind.
//!
//! `INPUTS` is how many a target is given that takes little time for each, 20000 at least; others are given fewer. They are other ones
//! each time then.

use fastrand::Rng;
use fuzz::{Cost, TARGETS, Target};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// How many inputs are made for a target, if somebody asks for a number of them.
fn inputs(cost: Cost, asked: Option<u64>) -> u64 {
    let (usual, share) = match cost {
        Cost::Little => (20_000, 1),
        Cost::Some => (20_000, 100),
        Cost::Much => (500, 10_000),
    };
    asked.map_or(usual, |asked| (asked / share).max(usual))
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16).expect("digits");
    text.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// One like those that are stored: pieces of them and words, some bytes of which are others.
fn make(made: &mut Vec<u8>, random: &mut Rng, corpus: &[Vec<u8>], dictionary: &[&str]) {
    made.clear();
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
}

#[test]
fn each_target_takes_whatever_comes() {
    let asked = std::env::var("INPUTS").ok().map(|text| text.parse().expect("INPUTS is a number"));
    let seed = if asked.is_some() { fastrand::u64(..) } else { 7 };
    let mut cheap = 0;
    for target in TARGETS {
        let stored = corpus(target);
        assert!(!stored.is_empty(), "nothing is stored for {}", target.name);
        let random = &mut Rng::with_seed(seed);
        let give = |input: &[u8]| {
            let taken = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
            assert!(taken.is_ok(), "{} does not take {}", target.name, input.escape_ascii());
        };
        stored.iter().for_each(|input| give(input));
        let mut made = Vec::new();
        for _ in 0..inputs(target.cost, asked) {
            make(&mut made, random, &stored, target.dictionary);
            give(&made);
        }
        cheap += usize::from(target.cost == Cost::Little);
    }
    let count = inputs(Cost::Little, asked);
    println!("figure: {count} inputs for each of {cheap} readers, at least {} for others", inputs(Cost::Much, asked));
}
