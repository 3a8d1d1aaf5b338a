//! What is said to memcached: its meta commands, which version 1.6 and newer have.

use super::record::RECORD;
use super::{Answered, Dialect, Name, Nonsense, Over};
use memchr::memmem;
use std::io::Write;
use std::time::SystemTime;

/// No line of an answer is longer.
const LONGEST: usize = 2048;

/// A longer time, in seconds, is taken for a moment since 1970.
const MONTH: u64 = 30 * 24 * 60 * 60;

const END: &[u8] = b"\r\n";

pub struct Memcached;

impl Dialect for Memcached {
    fn greet(&self, out: &mut Vec<u8>) -> usize {
        // Older ones answer that they do not know it.
        out.extend_from_slice(b"mn\r\n");
        1
    }

    fn ask(&self, name: &Name, out: &mut Vec<u8>) {
        append(out, format_args!("mg {name} v c\r\n"));
    }

    fn give(&self, name: &Name, record: &[u8; RECORD], milliseconds: u64, over: Over, out: &mut Vec<u8>) {
        let time = expiry(milliseconds);
        append(out, format_args!("ms {name} {RECORD} c T{time}"));
        match over {
            Over::Anything | Over::Last => {}
            // Only where there is none.
            Over::Nothing => out.extend_from_slice(b" ME"),
            Over::Version(version) => append(out, format_args!(" C{version}")),
        }
        [END, record, END].into_iter().for_each(|part| out.extend_from_slice(part));
    }

    fn answer(&self, input: &[u8]) -> Result<Option<(Answered, usize)>, Nonsense> {
        let Some(end) = memmem::find(&input[..input.len().min(LONGEST)], END) else {
            return if input.len() >= LONGEST { Err(Nonsense) } else { Ok(None) };
        };
        let line = std::str::from_utf8(&input[..end]).map_err(|_| Nonsense)?;
        let end = end + END.len();
        let mut words = line.split(' ');
        let answered = match words.next().unwrap_or_default() {
            "HD" => Answered::Done(version(words)?),
            "MN" => Answered::Done(0),
            "EN" | "NF" => Answered::Nothing,
            "EX" | "NS" => Answered::Conflict,
            "VA" => {
                let size: usize = words.next().and_then(|size| size.parse().ok()).ok_or(Nonsense)?;
                let version = version(words)?;
                if size > LONGEST {
                    return Err(Nonsense);
                }
                let Some(data) = input.get(end..end + size + END.len()) else { return Ok(None) };
                let value = data.strip_suffix(END).ok_or(Nonsense)?;
                return Ok(Some((Answered::Value(value.to_vec(), version), end + data.len())));
            }
            "ERROR" | "SERVER_ERROR" => Answered::Refused(line.to_string()),
            // What follows may be anything.
            _ => return Err(Nonsense),
        };
        Ok(Some((answered, end)))
    }
}

/// The version among the flags of an answer.
fn version<'a>(mut flags: impl Iterator<Item = &'a str>) -> Result<u64, Nonsense> {
    let version = flags.find_map(|flag| flag.strip_prefix('c')).ok_or(Nonsense)?;
    version.parse().map_err(|_| Nonsense)
}

/// So many milliseconds, as memcached takes them.
fn expiry(milliseconds: u64) -> u64 {
    let seconds = milliseconds.div_ceil(1000).max(1);
    if seconds < MONTH {
        return seconds;
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    now + seconds
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes all that is written to it.
    let _ = out.write_fmt(text);
}
