//! What a process reads while another one writes, in all orders that there are: `scripts/models`.

use super::layout::{ENTRY_WORDS, Header, PAGE, Seal};
use super::reader::{Reader, find};
use super::words::{Part, Source};
use super::*;
use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use loom::thread;
use progress::{End, Key, Numbers, Outcome, RequestId, Response};
use std::sync::Mutex;

const NOW: Timestamp = Timestamp(1_000_000);
const TIME_TO_LIVE: u64 = 30_000;
/// How many requests that have ended have a place.
const ENDED: usize = 2;
/// How many words of an entry are written and read at once: half of them, which has all that can go wrong with more pieces, or, where
/// it is not about what is written meanwhile, all.
const HALF: usize = ENTRY_WORDS / 2;
const WHOLE: usize = ENTRY_WORDS;
/// Words that are pieces by themselves.
const STATE: usize = 3;

/// The words of all workers, of which others see each piece as it was at some time, in no order but what fences make.
#[derive(Clone)]
struct Memory {
    /// Which of the contents each piece of each worker has.
    pieces: Arc<Vec<Vec<AtomicUsize>>>,
    /// The worker that writes here.
    worker: usize,
    worker_size: usize,
    /// How many words those of entries have.
    size: usize,
    contents: std::sync::Arc<Mutex<Vec<Vec<u64>>>>,
    /// Whether nobody writes any more.
    is_dead: Arc<AtomicBool>,
}

impl Memory {
    fn new(header: &Header, size: usize) -> Self {
        let count = STATE + (header.worker_size() - PAGE) / (size * size_of::<u64>());
        let pieces = || (0..count).map(|_| AtomicUsize::new(0)).collect();
        Self {
            pieces: Arc::new((0..header.workers).map(|_| pieces()).collect()),
            worker: 0,
            worker_size: header.worker_size(),
            size,
            contents: std::sync::Arc::new(Mutex::new(vec![vec![0; size]])),
            is_dead: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The same, for what another worker writes.
    fn of(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

    /// The pieces of a worker from an offset on, with the words of each.
    fn at(&self, worker: usize, offset: usize) -> (impl Iterator<Item = &AtomicUsize>, usize) {
        let (first, size) = match offset.checked_sub(PAGE) {
            None => (offset / size_of::<u64>(), 1),
            Some(offset) => (STATE + offset / size_of::<u64>() / self.size, self.size),
        };
        (self.pieces[worker][first..].iter(), size)
    }
}

impl Source for Memory {
    fn read(&self, offset: u64, words: &mut [u64]) -> bool {
        let offset = offset as usize - PAGE;
        let (pieces, size) = self.at(offset / self.worker_size, offset % self.worker_size);
        for (words, piece) in words.chunks_mut(size).zip(pieces) {
            let content = piece.load(Relaxed);
            words.copy_from_slice(&self.contents.lock().expect("it is not shared")[content][..size]);
        }
        true
    }

    fn is_dead(&self) -> bool {
        self.is_dead.load(Acquire)
    }

    fn last_sign(&self, now: Timestamp) -> Timestamp {
        now
    }
}

impl Part for Memory {
    fn write(&mut self, offset: usize, words: &[u64]) {
        let (pieces, size) = self.at(self.worker, offset);
        for (words, piece) in words.chunks(size).zip(pieces) {
            let number = {
                let mut contents = self.contents.lock().expect("it is not shared");
                contents.push(words.to_vec());
                contents.len() - 1
            };
            piece.store(number, Relaxed);
        }
    }

    fn read(&self, offset: usize, words: &mut [u64]) {
        Source::read(self, (PAGE + self.worker * self.worker_size + offset) as u64, words);
    }

    fn make_room(&self, _: usize, _: usize) -> bool {
        true
    }

    fn give_back(&self, _: usize, _: usize) {}
}

struct Model {
    teller: Teller<Memory>,
    reader: Reader<Memory>,
}

fn key() -> Key {
    Key::new(b"not random at al")
}

fn subject(id: &[u8]) -> Subject {
    key().subject(RequestId::new(id).expect("it is usable"))
}

fn model(size: usize) -> Model {
    let ([teller], reader) = of_workers(size);
    Model { teller, reader }
}

/// So many workers of a process, and one who reads.
fn of_workers<const WORKERS: usize>(size: usize) -> ([Teller<Memory>; WORKERS], Reader<Memory>) {
    let header = Header { boot: 0, workers: WORKERS, ended: ENDED, time_to_live: TIME_TO_LIVE };
    let (memory, seal) = (Memory::new(&header, size), Seal::new(&key()));
    let tellers = std::array::from_fn(|worker| Teller::new(memory.of(worker), ENDED, seal));
    (tellers, Reader::new(memory, header, seal, TIME_TO_LIVE))
}

/// One more who reads the same.
fn another(reader: &Reader<Memory>) -> Reader<Memory> {
    reader.fork(reader.source().clone())
}

fn running(received: u64) -> Snapshot {
    let numbers = Numbers::new(received, 0, Some(100), 0);
    Snapshot { numbers, began: NOW, response: Response::Awaited, rate: None, outcome: None }
}

/// The same, of one that began later.
fn newer(received: u64) -> Snapshot {
    Snapshot { began: Timestamp(NOW.0 + 1), ..running(received) }
}

fn ended(received: u64) -> Snapshot {
    let outcome = Outcome { status: 200, end: End::Whole, began: NOW, ended: NOW };
    Snapshot::ended(Numbers::new(received, 0, Some(100), 0), true, outcome)
}

/// What is found of a request, and whether it has ended.
fn look(reader: &mut Reader<Memory>, id: &[u8]) -> Option<(u64, bool)> {
    let (subject, mut readers, mut adopted) = (subject(id), [reader], None);
    let found = find(&mut readers, subject, NOW, &mut |one, snapshot| {
        if one == subject {
            adopted = Some((snapshot.numbers.received(), true));
        }
    });
    let found = found.map(|snapshot| (snapshot.numbers.received(), false));
    found.or(adopted)
}

/// Runs a model in all orders in which its threads can meet, and says how many there were.
fn all_orders(model: impl Fn() + Sync + Send + 'static) {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    loom::model(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("orders: {}", count.load(Relaxed));
}

#[test]
fn a_request_is_found_whole_while_it_is_told() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(HALF);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        let reads = thread::spawn(move || look(&mut reader, b"a"));
        teller.tell(slot, &running(2));
        teller.tell(slot, &running(3));
        let (received, is_over) = reads.join().expect("it reads").expect("it is known");
        assert!((1..=3).contains(&received) && !is_over, "{received}");
    });
}

#[test]
fn a_request_is_found_while_it_ends_and_no_number_goes_back() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(WHOLE);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        [2, 3].into_iter().for_each(|received| teller.tell(slot, &running(received)));
        assert_eq!(look(&mut reader, b"a"), Some((3, false)));
        let reads = thread::spawn(move || look(&mut reader, b"a"));
        teller.end(slot, Some(&ended(4)), TIME_TO_LIVE, NOW);
        let found = reads.join().expect("it reads");
        assert!(matches!(found, Some((3, false) | (4, true))), "{found:?}");
    });
}

#[test]
fn a_request_is_found_while_it_ends_by_who_has_just_come() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(WHOLE);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        let reads = thread::spawn(move || look(&mut reader, b"a"));
        teller.end(slot, Some(&ended(2)), TIME_TO_LIVE, NOW);
        let found = reads.join().expect("it reads");
        assert!(matches!(found, Some((1, false) | (2, true))), "{found:?}");
    });
}

#[test]
fn a_request_that_ends_as_its_process_does_is_found() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(WHOLE);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        assert_eq!(look(&mut reader, b"a"), Some((1, false)));
        let is_dead = reader.source().is_dead.clone();
        let reads = thread::spawn(move || look(&mut reader, b"a"));
        teller.end(slot, Some(&ended(2)), TIME_TO_LIVE, NOW);
        is_dead.store(true, Release);
        let found = reads.join().expect("it reads");
        assert!(matches!(found, Some((1, false) | (2, true))), "{found:?}");
    });
}

#[test]
fn a_request_that_takes_a_place_over_is_not_taken_for_the_one_before() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(HALF);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        teller.tell(slot, &running(2));
        assert_eq!(look(&mut reader, b"a"), Some((2, false)));
        teller.end(slot, Some(&ended(3)), TIME_TO_LIVE, NOW);
        let reads = thread::spawn(move || look(&mut reader, b"a"));
        teller.begin(subject(b"b"), &running(4)).expect("there is room");
        let found = reads.join().expect("it reads");
        assert_eq!(found, Some((3, true)));
    });
}

#[test]
fn a_request_that_begins_is_found_from_then_on() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(WHOLE);
        teller.begin(subject(b"a"), &running(1)).expect("there is room");
        assert_eq!(look(&mut reader, b"a"), Some((1, false)));
        let reads = thread::spawn(move || {
            let found = look(&mut reader, b"b");
            (reader, found)
        });
        teller.begin(subject(b"b"), &running(2)).expect("there is room");
        let (mut reader, found) = reads.join().expect("it reads");
        assert!(matches!(found, None | Some((2, false))), "{found:?}");
        assert_eq!([look(&mut reader, b"a"), look(&mut reader, b"b")], [Some((1, false)), Some((2, false))]);
    });
}

#[test]
fn requests_that_end_one_after_the_other_are_all_heard_of() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(WHOLE);
        let slots = [b"a", b"b"].map(|id| teller.begin(subject(id), &running(1)).expect("there is room"));
        assert_eq!(look(&mut reader, b"b"), Some((1, false)));
        let reads = thread::spawn(move || {
            let mut heard = Vec::new();
            reader.catch_up(NOW, &mut |subject, _| heard.push(subject));
            (reader, heard)
        });
        for slot in slots {
            teller.end(slot, Some(&ended(2)), TIME_TO_LIVE, NOW);
        }
        let (mut reader, mut heard) = reads.join().expect("it reads");
        reader.catch_up(NOW, &mut |subject, _| heard.push(subject));
        assert_eq!(heard, [subject(b"a"), subject(b"b")]);
    });
}

#[test]
fn what_one_has_read_another_one_reads_no_older() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(WHOLE);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        assert_eq!(look(&mut reader, b"a"), Some((1, false)));
        let mut other = another(&reader);
        let reads = thread::spawn(move || [look(&mut reader, b"a"), look(&mut other, b"a")]);
        teller.tell(slot, &running(2));
        let found = reads.join().expect("they read");
        let ways = [Some((1, false)), Some((2, false))];
        assert!(found.is_sorted() && found.iter().all(|found| ways.contains(found)), "{found:?}");
    });
}

#[test]
fn two_read_at_once() {
    all_orders(|| {
        let Model { mut teller, reader } = model(WHOLE);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        let reads = [another(&reader), reader].map(|mut reader| thread::spawn(move || look(&mut reader, b"a")));
        teller.tell(slot, &running(2));
        for read in reads {
            let found = read.join().expect("it reads");
            assert!(matches!(found, Some((1 | 2, false))), "{found:?}");
        }
    });
}

#[test]
fn an_id_that_goes_to_another_worker_is_found_all_the_time() {
    all_orders(|| {
        let ([mut first, mut second], mut reader) = of_workers(WHOLE);
        let slot = first.begin(subject(b"a"), &running(1)).expect("there is room");
        assert_eq!(look(&mut reader, b"a"), Some((1, false)));
        let reads = thread::spawn(move || look(&mut reader, b"a"));
        second.begin(subject(b"a"), &newer(2)).expect("there is room");
        first.hide(slot);
        let found = reads.join().expect("it reads");
        assert!(matches!(found, Some((1 | 2, false))), "{found:?}");
    });
}

/// What a process has made of what it was told of an id.
type Known = Arc<loom::sync::Mutex<Option<(u64, bool)>>>;

/// Takes what has ended over.
fn take_over(known: &Known) -> impl FnMut(Subject, &Snapshot) {
    let known = known.clone();
    move |_, snapshot| {
        let mut known = known.lock().expect("it is not poisoned");
        *known = (*known).max(Some((snapshot.numbers.received(), snapshot.outcome.is_some())));
    }
}

/// As the process's caretaker does.
fn tend(reader: &mut Reader<Memory>, known: &Known) -> bool {
    let adopt = &mut take_over(known);
    let is_dead = reader.end_if_dead(NOW, adopt).is_some();
    if !is_dead {
        reader.catch_up(NOW, adopt);
    }
    is_dead
}

/// As its workers do.
fn poll(reader: &mut Reader<Memory>, known: &Known) -> Option<(u64, bool)> {
    let running = find(&mut [reader], subject(b"a"), NOW, &mut take_over(known));
    let ended = *known.lock().expect("it is not poisoned");
    running.map(|snapshot| (snapshot.numbers.received(), false)).or(ended)
}

#[test]
fn a_process_that_dies_while_two_look_is_dead_to_both() {
    all_orders(|| {
        let Model { mut teller, reader } = model(WHOLE);
        teller.begin(subject(b"a"), &running(1)).expect("there is room");
        let (is_dead, known) = (reader.source().is_dead.clone(), Known::default());
        let (mut caretaker, mut worker) = (another(&reader), reader);
        let tends = thread::spawn({
            let known = known.clone();
            move || (tend(&mut caretaker, &known), caretaker)
        });
        let polls = thread::spawn({
            let known = known.clone();
            move || (poll(&mut worker, &known), worker)
        });
        is_dead.store(true, Release);
        let (has_noticed, mut caretaker) = tends.join().expect("it looks");
        let (found, mut worker) = polls.join().expect("it looks");
        assert!(matches!(found, Some((1, _))), "{found:?}");
        assert!(!has_noticed || *known.lock().expect("it is not poisoned") == Some((1, true)));
        assert!(tend(&mut caretaker, &known));
        assert_eq!(poll(&mut worker, &known), Some((1, true)));
    });
}

#[test]
fn a_worker_that_begins_to_look_goes_on_where_the_caretaker_is() {
    all_orders(|| {
        let Model { mut teller, mut reader } = model(WHOLE);
        let slot = teller.begin(subject(b"a"), &running(1)).expect("there is room");
        let known = Known::default();
        assert!(!tend(&mut reader, &known));
        teller.end(slot, Some(&ended(2)), TIME_TO_LIVE, NOW);
        let caretaker = Arc::new(loom::sync::Mutex::new(reader));
        let tends = thread::spawn({
            let (caretaker, known) = (caretaker.clone(), known.clone());
            move || tend(&mut caretaker.lock().expect("it is not poisoned"), &known)
        });
        let mut worker = another(&caretaker.lock().expect("it is not poisoned"));
        assert_eq!(poll(&mut worker, &known), Some((2, true)));
        assert!(!tends.join().expect("it looks"));
    });
}
