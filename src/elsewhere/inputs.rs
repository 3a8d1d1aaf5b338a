//! What others can write, given to what reads it here: for the crate `fuzz`. Each of these panics where something is not as it
//! should be.

use crate::engine::inputs as engine;
use crate::layout::{BEGUN, ENTRY, ENTRY_WORDS, Entry, HEADER_WORDS, Header, PAGE, PLACE, RUNNING_END, Seal, TOLD};
use crate::secret::Secret;
use crate::{Answer, Directory, Elsewhere, Siblings, Tellers};
use progress::{Key, Numbers, RequestId, Response, Snapshot, Subject, Timestamp};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

pub use engine::{address, memcached, record, redis};

const NOW: Timestamp = Timestamp(1_000_000);
const TIME_TO_LIVE: u64 = 30_000;
const ENTRIES: usize = 1_000;

/// A directory with the file of a process that lives, which inputs change.
pub struct Store {
    directory: Arc<Directory>,
    file: File,
    seal: Seal,
    header: Header,
    subjects: Vec<Subject>,
    _tellers: Tellers,
}

impl Store {
    /// One in a directory that is there for it.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn new(path: &Path) -> Self {
        let secret = Secret::new(b"a secret that is always the same");
        let mut directory = Directory::open(path.as_os_str().as_bytes()).expect("a directory");
        directory.make_key(Some(secret)).expect("a key");
        let directory = Arc::new(directory);
        let tellers = Tellers::new(&directory, 2, ENTRIES, TIME_TO_LIVE).expect("a file");
        let mut teller = tellers.teller(0).expect("a part of it");
        let key = Key::new(&secret.key());
        let subject = |number: usize| key.subject(RequestId::new(number.to_string().as_bytes()).expect("an id"));
        let subjects: Vec<_> = (0..8).map(subject).collect();
        let running = |received| Snapshot {
            numbers: Numbers::new(received, 0, Some(1_000), 0),
            began: NOW,
            response: Response::Awaited,
            rate: None,
            outcome: None,
        };
        let slots: Vec<_> =
            subjects.iter().map(|subject| teller.begin(*subject, &running(1)).expect("a place")).collect();
        slots.iter().for_each(|slot| teller.tell(*slot, &running(2)));
        let file = File::options().read(true).write(true).open(path.join(tellers.name())).expect("its file");
        let mut words = [0_u64; HEADER_WORDS];
        file.read_exact_at(bytemuck::cast_slice_mut(&mut words), 0).expect("a header");
        let seal = directory.seal();
        let header = Header::from_words(&words, seal).expect("a header");
        Self { directory, file, seal, header, subjects, _tellers: tellers }
    }

    /// Changes the file as the input says, reads it, and makes it what it was before: pieces of 17 bytes, each of which says what is
    /// changed, where, and to what, and whether the change is sealed as only a process with the key can do it.
    ///
    /// # Panics
    /// Where something is not as it should be.
    pub fn read(&self, input: &[u8]) {
        let mut before = Vec::new();
        for piece in input.chunks_exact(17).take(32) {
            let (kind, place, value) = (piece[0], word(&piece[1..9]), word(&piece[9..]));
            let worker = self.header.worker(usize::from(kind >> 7)) as usize;
            let (offset, bytes) = match kind % 8 {
                0 => (worker + [BEGUN, TOLD, RUNNING_END][place as usize % 3] * 8, value.to_ne_bytes().to_vec()),
                1 => self.header_with(place as usize % HEADER_WORDS, value),
                2 | 3 => {
                    let at = worker
                        + Header::RUNNING_BEGIN
                        + (place as usize % 32) * PLACE
                        + usize::from(kind >> 4 & 1) * ENTRY;
                    (at, self.entry_with(at, place >> 32, value, kind))
                }
                4 | 5 => {
                    let at = worker + Header::ENDED_BEGIN + (place as usize % 32) * ENTRY;
                    (at, self.entry_with(at, place >> 32, value, kind))
                }
                _ => ((place % self.header.file_size()) as usize, value.to_ne_bytes().to_vec()),
            };
            let mut old = vec![0; bytes.len()];
            // What is behind the end is no change.
            if self.file.read_exact_at(&mut old, offset as u64).is_ok()
                && self.file.write_all_at(&bytes, offset as u64).is_ok()
            {
                before.push((offset, old));
            }
        }
        self.look();
        for (offset, old) in before.into_iter().rev() {
            self.file.write_all_at(&old, offset as u64).expect("it was there");
        }
    }

    fn look(&self) {
        let mut siblings = Siblings::new(Arc::clone(&self.directory), "", TIME_TO_LIVE);
        let mut adopted = 0;
        for (number, subject) in self.subjects.iter().enumerate() {
            let now = NOW.after(number as u64);
            let found = siblings.look_up(*subject, now, &mut |_, snapshot| {
                assert!(snapshot.outcome.is_some(), "what is taken over has ended");
                adopted += 1;
            });
            assert!(matches!(found, Answer::Known(_)), "files are read at once");
        }
        siblings.tend(NOW, &mut |_, _| adopted += 1);
        // Two workers, and each entry once for a look.
        assert!(adopted <= 2 * 2 * (self.subjects.len() + 1) * self.header.ended.max(ENTRIES), "{adopted}");
        siblings.take_complaints();
    }

    /// The header with another word, sealed.
    fn header_with(&self, place: usize, value: u64) -> (usize, Vec<u8>) {
        let mut words = self.header.into_words(self.seal);
        words[place] = value;
        words[HEADER_WORDS - 1] = self.seal.of(&words[..HEADER_WORDS - 1]);
        (0, bytemuck::cast_slice(&words).to_vec())
    }

    /// The entry that is there with another word, sealed if the kind says so.
    fn entry_with(&self, offset: usize, place: u64, value: u64, kind: u8) -> Vec<u8> {
        let mut words = [0_u64; ENTRY_WORDS];
        if self.file.read_exact_at(bytemuck::cast_slice_mut(&mut words), offset as u64).is_err() {
            return Vec::new();
        }
        words[place as usize % ENTRY_WORDS] = value;
        if kind & 8 != 0 {
            words[ENTRY_WORDS - 1] = self.seal.of(&words[..ENTRY_WORDS - 1]);
            assert!(Entry::from_words(&words, self.seal).is_some(), "a seal is a seal");
        }
        bytemuck::cast_slice(&words).to_vec()
    }
}

const _: () = assert!(PAGE >= HEADER_WORDS * size_of::<u64>());

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}
