//! What to measure, and how long.

use crate::parts;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "usage: comparison [--quick | --smoke] [--parts 1,2,... | --soak MINUTES] [--out FOLDER]";

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
    /// How long to put a host under load instead.
    pub soak: Option<Duration>,
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
            soak: None,
            out: PathBuf::new(),
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
                "--soak" => {
                    let minutes = value()?.parse().ok().and_then(|minutes: f64| {
                        Duration::try_from_secs_f64(minutes * 60.0).ok().filter(|time| !time.is_zero())
                    });
                    options.soak = Some(minutes.ok_or(format!("--soak takes a number of minutes; {USAGE}"))?);
                }
                _ => return Err(format!("{argument} is not known; {USAGE}")),
            }
        }
        if options.out.as_os_str().is_empty() {
            options.out = default_out(if options.soak.is_some() { "soak" } else { "bench" });
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

/// A folder in the target directory that this program was built in.
fn default_out(name: &str) -> PathBuf {
    let program = std::env::current_exe().ok();
    let target = program.as_deref().and_then(|program| program.ancestors().nth(2));
    target.map_or_else(|| name.into(), |target| target.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood() {
        let parse = |line: &str| Options::parse(line.split_whitespace().map(String::from));
        let options = parse("--quick --parts 1,6 --out there").unwrap();
        assert_eq!((options.length, options.parts, options.out), (Length::Quick, vec![1, 6], "there".into()));
        let options = parse("--soak 1.5").unwrap();
        assert_eq!((options.soak, options.out.ends_with("soak")), (Some(Duration::from_secs(90)), true));
        for wrong in ["--parts", "--parts x", "quick", "--soak x", "--soak 0", "--soak -1"] {
            assert!(parse(wrong).unwrap_err().contains(USAGE), "{wrong}");
        }
    }
}
