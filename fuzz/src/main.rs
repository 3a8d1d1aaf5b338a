//! Lets libFuzzer choose the inputs of a target, which `FUZZ_TARGET` names: see `scripts/fuzz`.
#![no_main]

use fuzz::{Target, target};
use std::sync::OnceLock;

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET is set");
        CHOSEN.get_or_init(|| target(&name).unwrap_or_else(|| panic!("there is no target {name}")));
    },
    |input: &[u8]| {
        CHOSEN.get().into_iter().for_each(|target| (target.run)(input));
    }
);
