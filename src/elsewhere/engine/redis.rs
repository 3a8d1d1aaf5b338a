//! What is said to Redis and Valkey: commands as arrays of strings, answers in RESP 2.

use super::address::Credentials;
use super::record::{AGE, RECORD};
use super::{Answered, Dialect, Name, Nonsense, Over};
use bytes::Bytes;
use resp_rs::ParseError;
use resp_rs::resp2::{Frame, parse_frame};

/// No answer to what is asked here is longer; so much of what has come is looked at.
const LONGEST: usize = 4 * 1024;

/// One database of one of them.
pub struct Redis {
    database: u32,
    credentials: Option<Credentials>,
    script: String,
}

impl Redis {
    pub fn new(database: u32, credentials: Option<Credentials>) -> Self {
        // The age of a request stands first in its record, as digits, which are in the order of the numbers in any locale.
        let script = format!(
            "local old=redis.call('GET',KEYS[1]) \
             if old and #old=={RECORD} and old:sub(1,1)==ARGV[1]:sub(1,1) and old:sub(2,{AGE})>ARGV[1]:sub(2,{AGE}) \
             then return 0 end \
             redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return 1"
        );
        Self { database, credentials, script }
    }
}

impl Dialect for Redis {
    fn greet(&self, out: &mut Vec<u8>) -> usize {
        // Whoever is not let in is told with the first answer.
        if let Some(Credentials { user, password }) = &self.credentials {
            let user = user.as_ref().map(String::as_bytes);
            let words: Vec<_> =
                [Some(b"AUTH".as_slice()), user, Some(password.as_bytes())].into_iter().flatten().collect();
            command(out, &words);
        }
        match self.database {
            0 => command(out, &[b"PING"]),
            database => command(out, &[b"SELECT", database.to_string().as_bytes()]),
        }
        1 + usize::from(self.credentials.is_some())
    }

    fn ask(&self, name: &Name, out: &mut Vec<u8>) {
        command(out, &[b"GET", name.as_bytes()]);
    }

    fn give(&self, name: &Name, record: &[u8; RECORD], milliseconds: u64, over: Over, out: &mut Vec<u8>) {
        let milliseconds = milliseconds.max(1).to_string();
        let (name, milliseconds) = (name.as_bytes(), milliseconds.as_bytes());
        match over {
            Over::Anything => command(out, &[b"SET", name, record, b"PX", milliseconds]),
            Over::Nothing | Over::Last | Over::Version(_) => {
                command(out, &[b"EVAL", self.script.as_bytes(), b"1", name, record, milliseconds])
            }
        }
    }

    fn is_useless(&self, reason: &str) -> bool {
        ["READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "NOPERM"].iter().any(|word| reason.starts_with(word))
    }

    fn answer(&self, input: &[u8]) -> Result<Option<(Answered, usize)>, Nonsense> {
        let (frame, rest) = match parse_frame(Bytes::copy_from_slice(&input[..input.len().min(LONGEST)])) {
            Ok(parsed) => parsed,
            Err(ParseError::Incomplete) if input.len() < LONGEST => return Ok(None),
            Err(_) => return Err(Nonsense),
        };
        let answered = match frame {
            Frame::SimpleString(_) | Frame::Integer(1) => Answered::Done(0),
            Frame::Integer(0) => Answered::Conflict,
            Frame::BulkString(Some(value)) => Answered::Value(value.to_vec(), 0),
            Frame::BulkString(None) => Answered::Nothing,
            Frame::Error(reason) => Answered::Refused(String::from_utf8_lossy(&reason).into_owned()),
            Frame::Integer(_) | Frame::Array(_) => return Err(Nonsense),
        };
        Ok(Some((answered, input.len().min(LONGEST) - rest.len())))
    }
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    let mut write = |bytes: &[u8]| out.extend_from_slice(bytes);
    write(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        write(format!("${}\r\n", word.len()).as_bytes());
        write(word);
        write(b"\r\n");
    }
}
