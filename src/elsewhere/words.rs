//! Where the words of a process's file are.

use crate::layout::LIVED;
use memmap2::MmapMut;
use progress::Timestamp;
use rustix::fs::{FallocateFlags, FlockOperation};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

#[cfg(feature = "loom")]
pub use loom::sync::atomic::{Ordering, fence};
#[cfg(not(feature = "loom"))]
pub use std::sync::atomic::{Ordering, fence};

/// What others write. Words that are written meanwhile are read as they were or as they will be, each by itself, in no order but what
/// fences make.
pub trait Source {
    /// Fills `words` with those from an offset in bytes on; whether they are there.
    fn read(&self, offset: u64, words: &mut [u64]) -> bool;

    /// Whether its process is gone: it writes nothing more then, and all that it has written can be read.
    fn is_dead(&self) -> bool;

    /// When its process last [said](crate::Tellers::live) that it lives, in this process's time. A file that does not say it has been
    /// written to then; now, where not even that can be told.
    fn last_sign(&self, now: Timestamp) -> Timestamp;
}

/// What one worker writes: a part of its process's file. Offsets and lengths are in bytes.
pub trait Part {
    /// Writes words, in no order but what fences make.
    fn write(&mut self, offset: usize, words: &[u64]);

    /// Fills `words` with what was written last.
    fn read(&self, offset: usize, words: &mut [u64]);

    /// Whether there is room for what is to be written there.
    fn make_room(&self, offset: usize, length: usize) -> bool;

    /// Gives the room of what is read no more back, where that can be.
    fn give_back(&self, offset: usize, length: usize);
}

/// A part of a file that is written without a call to the system.
pub struct Mapped {
    pub file: Arc<File>,
    pub map: MmapMut,
    /// Where it begins in the file.
    pub begin: u64,
}

impl Source for File {
    fn read(&self, offset: u64, words: &mut [u64]) -> bool {
        self.read_exact_at(bytemuck::cast_slice_mut(words), offset).is_ok()
    }

    /// Its process lets go of its lock then.
    fn is_dead(&self) -> bool {
        rustix::fs::flock(self, FlockOperation::NonBlockingLockShared).is_ok()
    }

    fn last_sign(&self, now: Timestamp) -> Timestamp {
        let mut lived = [0];
        if self.read((LIVED * size_of::<u64>()) as u64, &mut lived) && lived != [0] {
            return Timestamp(lived[0]).min(now);
        }
        let sign = self.metadata().and_then(|metadata| metadata.modified());
        let age = sign.ok().and_then(|sign| sign.elapsed().ok()).unwrap_or_default();
        Timestamp(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Part for Mapped {
    // Most of what is written is a word, or as long as is known where this is called.
    #[inline(always)]
    fn write(&mut self, offset: usize, words: &[u64]) {
        self.map[offset..offset + size_of_val(words)].copy_from_slice(bytemuck::cast_slice(words));
    }

    fn read(&self, offset: usize, words: &mut [u64]) {
        words.copy_from_slice(bytemuck::cast_slice(&self.map[offset..offset + size_of_val(words)]));
    }

    fn make_room(&self, offset: usize, length: usize) -> bool {
        make_room(self.file.as_fd(), self.begin + offset as u64, length as u64).is_ok()
    }

    fn give_back(&self, offset: usize, length: usize) {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Where that cannot be, it is only overwritten later.
        let _ = rustix::fs::fallocate(self.file.as_fd(), hole, self.begin + offset as u64, length as u64);
    }
}

/// Gives a part of a file room on the disk.
pub fn make_room(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    let room = || rustix::fs::fallocate(file, FallocateFlags::empty(), offset, length);
    Ok(rustix::io::retry_on_intr(room)?)
}
