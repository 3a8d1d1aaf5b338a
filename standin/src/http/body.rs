//! Bodies, as they are framed.

use super::Malformed;

/// A body that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are missing.
    Length(u64),
    /// It comes in chunks.
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClose,
    /// It has come.
    Complete,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// The size of a chunk.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of the line after a chunk.
    DataEnd,
    /// Lines after the last chunk.
    Trailer,
}

/// No line of a chunk is as long as this, in bytes.
const LONGEST_LINE: usize = 4096;

impl Body {
    /// A body of that length.
    pub fn of_length(length: u64) -> Self {
        if length == 0 { Self::Complete } else { Self::Length(length) }
    }

    /// A body in chunks.
    pub fn chunked() -> Self {
        Self::Chunked(Chunks::Size)
    }

    /// Whether it has come.
    pub fn is_complete(&self) -> bool {
        *self == Self::Complete
    }

    /// Decodes what is at the beginning of `input`, hands it to `take`, and returns how much of `input` that was. What is malformed
    /// is an error where nothing is in front of it.
    pub fn decode(&mut self, input: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let step = match self {
                Self::Complete => 0,
                Self::UntilClose => {
                    take(rest);
                    rest.len()
                }
                Self::Length(missing) => {
                    let taken = take_up_to(rest, *missing, &mut take);
                    *self = Self::of_length(*missing - taken as u64);
                    taken
                }
                Self::Chunked(chunks) => match chunks.decode(rest, &mut take) {
                    Ok((taken, next)) => {
                        *self = next.map_or(Self::Complete, Self::Chunked);
                        taken
                    }
                    Err(Malformed) if used == 0 => return Err(Malformed),
                    Err(Malformed) => 0,
                },
            };
            used += step;
            if step == 0 {
                return Ok(used);
            }
        }
    }
}

impl Chunks {
    /// How much of `input` was used, and what comes then.
    fn decode(self, input: &[u8], take: &mut impl FnMut(&[u8])) -> Result<(usize, Option<Self>), Malformed> {
        if let Self::Data(missing) = self {
            let taken = take_up_to(input, missing, take);
            let missing = missing - taken as u64;
            return Ok((taken, Some(if missing == 0 { Self::DataEnd } else { Self::Data(missing) })));
        }
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            return if input.len() > LONGEST_LINE { Err(Malformed) } else { Ok((0, Some(self))) };
        };
        let (line, used) = (input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]), end + 1);
        let next = match self {
            Self::Size => match httparse::parse_chunk_size(&input[..used]) {
                Ok(httparse::Status::Complete((_, 0))) => Some(Self::Trailer),
                Ok(httparse::Status::Complete((_, size))) => Some(Self::Data(size)),
                _ => return Err(Malformed),
            },
            Self::DataEnd if line.is_empty() => Some(Self::Size),
            Self::DataEnd => return Err(Malformed),
            Self::Trailer if line.is_empty() => None,
            Self::Trailer | Self::Data(_) => Some(Self::Trailer),
        };
        Ok((used, next))
    }
}

fn take_up_to(input: &[u8], most: u64, take: &mut impl FnMut(&[u8])) -> usize {
    let taken = input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    if taken > 0 {
        take(&input[..taken]);
    }
    taken
}

/// Appends `data` as a chunk. Nothing is appended for no data, which would end the body.
pub fn push_chunk(output: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        output.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        output.extend_from_slice(data);
        output.extend_from_slice(b"\r\n");
    }
}

/// What ends a body in chunks.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` in pieces of every size: what came out, what was left over, or `None` where it is malformed.
    fn decode(body: &Body, input: &[u8]) -> Option<(Vec<u8>, Vec<u8>, bool)> {
        let results: Vec<_> = (1..=input.len().max(1))
            .map(|size| {
                let (mut body, mut waiting, mut output) = (body.clone(), Vec::new(), Vec::new());
                for piece in input.chunks(size) {
                    waiting.extend_from_slice(piece);
                    while let used @ 1.. = body.decode(&waiting, |data| output.extend_from_slice(data)).ok()? {
                        waiting.drain(..used);
                    }
                }
                Some((output, waiting, body.is_complete()))
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "it depends on the pieces: {results:?}");
        results.into_iter().next().flatten()
    }

    #[test]
    fn decodes_bodies_in_pieces_of_any_size() {
        let chunked = Body::chunked();
        for (body, input, expected) in [
            (Body::of_length(0), "abc", Some(("", "abc", true))),
            (Body::of_length(3), "ab", Some(("ab", "", false))),
            (Body::of_length(3), "abcd", Some(("abc", "d", true))),
            (Body::UntilClose, "abcd", Some(("abcd", "", false))),
            (chunked.clone(), "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET", Some(("abcde", "GET", true))),
            (chunked.clone(), "3\r\nab", Some(("ab", "", false))),
            (chunked.clone(), "A\r\n0123456789\r\n0\r\nName: value\r\n\r\n", Some(("0123456789", "", true))),
            (chunked.clone(), "0\r\n", Some(("", "", false))),
            (chunked.clone(), "x\r\n", None),
            (chunked.clone(), "3\r\nabcd\r\n", None),
        ] {
            let decoded = decode(&body, input.as_bytes());
            let expected = expected.map(|(output, rest, whole)| (output.into(), rest.into(), whole));
            assert_eq!(decoded, expected, "{input:?}");
        }
    }

    #[test]
    fn refuses_a_line_without_end() {
        assert_eq!(Body::chunked().decode(&vec![b'1'; LONGEST_LINE + 1], |_| ()), Err(Malformed));
    }

    #[test]
    fn what_it_encodes_can_be_decoded() {
        let mut encoded = Vec::new();
        for data in ["abc", "", "0123456789abcdefg"] {
            push_chunk(&mut encoded, data.as_bytes());
        }
        encoded.extend_from_slice(LAST_CHUNK);
        assert_eq!(decode(&Body::chunked(), &encoded), Some((b"abc0123456789abcdefg".to_vec(), vec![], true)));
    }
}
