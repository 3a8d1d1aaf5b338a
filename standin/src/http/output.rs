//! What is on its way into a socket.

use super::CHUNK;
use std::fs::File;
use std::io::{self, Read, Write};

/// Bytes, and perhaps a file after them.
#[derive(Default)]
pub struct Output {
    waiting: Vec<u8>,
    /// How much of `waiting` has gone.
    gone: usize,
    file: Option<(File, u64)>,
}

impl Output {
    /// Adds bytes at the end. Not after a file.
    pub fn push(&mut self, bytes: &[u8]) {
        debug_assert!(self.file.is_none(), "nothing comes after a file");
        self.waiting.extend_from_slice(bytes);
    }

    /// Adds so many bytes of a file.
    pub fn push_file(&mut self, file: File, length: u64) {
        self.file = Some((file, length)).filter(|(_, length)| *length > 0);
    }

    /// How many bytes wait, without those of a file.
    pub fn len(&self) -> usize {
        self.waiting.len() - self.gone
    }

    /// Whether all has gone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.file.is_none()
    }

    /// Writes what the socket takes at once, but not much more than a few chunks. Returns how many bytes that were.
    pub fn write_to(&mut self, mut socket: impl Write) -> io::Result<usize> {
        let mut written = 0;
        while written < 4 * CHUNK && self.refill()? {
            match socket.write(&self.waiting[self.gone..]) {
                Ok(count) => {
                    self.gone += count;
                    written += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Whether there is something to write.
    fn refill(&mut self) -> io::Result<bool> {
        if self.gone == self.waiting.len() {
            self.waiting.clear();
            self.gone = 0;
            if let Some((file, missing)) = &mut self.file {
                let most = (*missing).min(CHUNK as u64);
                let count = Read::take(&*file, most).read_to_end(&mut self.waiting)?;
                if count == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
                }
                *missing -= count as u64;
                if *missing == 0 {
                    self.file = None;
                }
            }
        }
        Ok(!self.waiting.is_empty())
    }
}
