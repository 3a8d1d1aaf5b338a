//! What to measure, and how long.

use crate::parts;
use std::path::PathBuf;

pub const USAGE: &str = "usage: comparison [--quick | --smoke] [--parts 1,2,...] [--out FOLDER]";

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Everything, for figures to quote.
    Full,
    /// In about three minutes.
    Quick,
    /// Once, as a test that the benchmarks work.
    Smoke,
}

#[derive(Debug)]
pub struct Options {
    pub length: Length,
    /// Numbers of parts.
    pub parts: Vec<u32>,
    /// Where the reports go.
    pub out: PathBuf,
}

impl Options {
    /// # Errors
    /// Where an argument is not known.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            length: Length::Full,
            parts: parts::ALL.iter().map(|plan| plan.number).collect(),
            out: default_out(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value; {USAGE}"));
            match argument.as_str() {
                "--quick" => options.length = Length::Quick,
                "--smoke" => options.length = Length::Smoke,
                "--out" => options.out = value()?.into(),
                "--parts" => {
                    let parts: Result<_, _> = value()?.split(',').map(str::parse).collect();
                    options.parts = parts.map_err(|error| format!("--parts: {error}; {USAGE}"))?;
                }
                _ => return Err(format!("{argument} is not known; {USAGE}")),
            }
        }
        Ok(options)
    }
}

impl Length {
    /// The value for this length.
    pub fn pick<T>(self, full: T, quick: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Smoke => smoke,
        }
    }
}

/// `bench` in the target directory that this program was built in.
fn default_out() -> PathBuf {
    let program = std::env::current_exe().ok();
    let target = program.as_deref().and_then(|program| program.ancestors().nth(2));
    target.map_or_else(|| "bench".into(), |target| target.join("bench"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood() {
        let parse = |line: &str| Options::parse(line.split_whitespace().map(String::from));
        let options = parse("--quick --parts 1,6 --out there").unwrap();
        assert_eq!((options.length, options.parts, options.out), (Length::Quick, vec![1, 6], "there".into()));
        for wrong in ["--parts", "--parts x", "quick"] {
            assert!(parse(wrong).unwrap_err().contains(USAGE), "{wrong}");
        }
    }
}
