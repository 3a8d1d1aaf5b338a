//! What is measured, part by part.

mod instructions;
pub mod latency;
mod memory;
mod others;
pub mod polls;
mod push;
pub mod scale;
mod sharing;
mod stopping;

use crate::figures::{Figure, Part};
use crate::lab::Lab;
use crate::plot::Line;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What a part has found so far.
#[derive(Default)]
pub struct Findings {
    pub figures: Vec<Figure>,
    pub curves: Vec<Line>,
    pub notes: Vec<String>,
}

type Run = fn(&Lab, &mut Findings) -> Result<(), String>;

/// A part: its number, title, what it needs, and how it is measured.
pub struct Plan {
    pub number: u32,
    pub title: &'static str,
    /// `Err` says what is missing.
    needs: fn(&Lab) -> Result<(), String>,
    run: Run,
}

pub const ALL: &[Plan] = &[
    polls::PLAN,
    instructions::PLAN,
    memory::PLAN,
    scale::PLAN,
    latency::PLAN,
    stopping::PLAN,
    others::PLAN,
    push::PLAN,
    sharing::PLAN,
];

impl Plan {
    /// Measures it, if that can be done here.
    pub fn measure(&self, lab: &Lab) -> Part {
        let start = Instant::now();
        let mut findings = Findings::default();
        let mut has_failed = false;
        match (self.needs)(lab) {
            Err(missing) => findings.notes.push(format!("left out: {missing}")),
            Ok(()) => {
                let outcome = catch_unwind(AssertUnwindSafe(|| (self.run)(lab, &mut findings)));
                let outcome = outcome.unwrap_or_else(|_| Err(String::from("it panicked")));
                if let Err(reason) = outcome {
                    has_failed = true;
                    findings.notes.push(format!("failed: {reason}"));
                }
            }
        }
        let Findings { figures, curves, notes } = findings;
        let took = start.elapsed().as_secs_f64();
        Part { number: self.number, title: self.title, figures, curves, notes, has_failed, took }
    }
}
