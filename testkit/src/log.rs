//! Lines of a host's log, and which of them a test announced.

use std::fmt;

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Details, for who asked for them.
    Debug,
    /// What is usual.
    Info,
    /// What may be wrong.
    Warning,
    /// What is wrong.
    Error,
    /// The line is not in the host's form.
    Other,
}

impl Level {
    const NAMED: [(&'static str, Self); 4] =
        [("debug", Self::Debug), ("info", Self::Info), ("warning", Self::Warning), ("error", Self::Error)];
}

/// A line of the log: `[TIME] (LEVEL) FILE:LINE: TEXT`, or an angel's own, `TIME: LEVEL (FILE:LINE): TEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// Without time, file and line.
    pub text: String,
}

impl Line {
    /// The parts of `line`.
    pub fn parse(line: &str) -> Self {
        let parts = line.split_once('(').and_then(|(before, rest)| {
            let level = |name: &str| Level::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, level)| level);
            let (level, rest) = match rest.split_once(") ") {
                Some((name, rest)) if level(name).is_some() => (level(name)?, rest),
                _ => (level(before.trim_end().rsplit_once(' ')?.1)?, rest),
            };
            let (_, text) = rest.split_once(": ")?;
            Some(Self { level, text: text.to_string() })
        });
        parts.unwrap_or_else(|| Self { level: Level::Other, text: line.to_string() })
    }

    /// Whether a test has to announce it: what is wrong, and what the module says.
    fn matters(&self) -> bool {
        !matches!(self.level, Level::Debug | Level::Info) || self.text.contains("progress")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.level, self.text)
    }
}

/// A line that a test announced.
#[derive(Clone, Debug)]
pub struct Announced {
    pub level: Level,
    /// The text, or the text's beginning with a `*` behind it.
    pub text: String,
    /// Whether the line has to be there.
    pub is_due: bool,
}

impl Announced {
    fn covers(&self, line: &Line) -> bool {
        let is_same = match self.text.strip_suffix('*') {
            Some(start) => line.text.starts_with(start),
            None => line.text == self.text,
        };
        self.level == line.level && is_same
    }
}

/// What is wrong with a log: lines that nobody announced, and announced ones that are missing.
pub fn complaints(log: &[Line], announced: &[Announced]) -> Vec<String> {
    let unexpected = log.iter().filter(|line| line.matters() && !announced.iter().any(|one| one.covers(line)));
    let missing = announced.iter().filter(|one| one.is_due && !log.iter().any(|line| one.covers(line)));
    unexpected
        .map(|line| format!("unexpected line in the log: {line}"))
        .chain(missing.map(|one| format!("missing in the log: {:?}: {}", one.level, one.text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(level: Level, text: &str, is_due: bool) -> Announced {
        Announced { level, text: text.to_string(), is_due }
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = |level, text: &str| Line { level, text: text.to_string() };
        for (given, expected) in [
            ("23/Nov/2026 01:01:06 UTC (warning) track.rs:14: a: b (c)", line(Level::Warning, "a: b (c)")),
            ("2026-11-23 01:01:06 UTC: w[7]: 23/Nov/2026 01:01:06 UTC (info) a.c:4: b", line(Level::Info, "b")),
            ("2026-11-23 01:01:06 UTC: debug (angel.c:5): stop: (core) it", line(Level::Debug, "stop: (core) it")),
            ("(error) main.rs:3: no", line(Level::Error, "no")),
            ("thread 'main' (7) panicked: no", line(Level::Other, "thread 'main' (7) panicked: no")),
        ] {
            assert_eq!(Line::parse(given), expected);
        }
    }

    #[test]
    fn only_announced_lines_are_fine() {
        let log = ["(debug) a.c:1: state", "(warning) b.rs:2: twice", "(debug) b.rs:3: progress.track: x", "crash"];
        let log = log.map(Line::parse);
        assert_eq!(complaints(&log, &[]).len(), 3);
        let fine = [
            announced(Level::Warning, "twice", true),
            announced(Level::Debug, "progress.track: *", true),
            announced(Level::Other, "crash", false),
            announced(Level::Error, "did not happen", false),
        ];
        assert!(complaints(&log, &fine).is_empty());
        assert_eq!(complaints(&log[..1], &fine).len(), 2);
        assert_eq!(complaints(&log[1..2], &[announced(Level::Error, "twice", false)]).len(), 1);
    }
}
