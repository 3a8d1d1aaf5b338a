//! What one process tells, others know; and whatever is in the directory, nobody comes to harm.

use super::layout::{ENTRY, ENTRY_WORDS, HEADER_WORDS, Header, PAGE, Seal};
use super::reader::{Reader, find};
use super::words::Source;
use super::*;
use fastrand::Rng;
use progress::{End, Key, Numbers, Outcome, RequestId, Response, Side};
use std::cell::Cell;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_000_000);
/// In milliseconds.
const TIME_TO_LIVE: u64 = 30_000;
const ENTRIES: usize = 10_000;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn directory(path: &Path) -> Arc<Directory> {
    let mut directory = Directory::open(path.as_os_str().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    directory.make_key(None).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(directory)
}

fn tellers(directory: &Directory, workers: usize) -> Tellers {
    Tellers::new(directory, workers, ENTRIES, TIME_TO_LIVE).expect("a file")
}

fn siblings(directory: &Arc<Directory>) -> Siblings {
    Siblings::new(Arc::clone(directory), "", TIME_TO_LIVE)
}

fn subject(directory: &Directory, id: &str) -> Subject {
    directory.key().subject(RequestId::new(id.as_bytes()).expect("an id"))
}

fn running(received: u64, began: Timestamp) -> Snapshot {
    let numbers = Numbers::new(received, 0, Some(1_000_000), 0);
    Snapshot { numbers, began, response: Response::Awaited, rate: None, outcome: None }
}

fn ended(received: u64, ended: Timestamp) -> Snapshot {
    let outcome = Outcome { status: 200, end: End::Whole, began: Timestamp(ended.0 - 500), ended };
    Snapshot::ended(Numbers::new(received, 0, Some(received), 0), true, outcome)
}

/// What is found, and what was adopted on the way.
fn look(siblings: &mut Siblings, subject: Subject, now: Timestamp) -> (Option<Snapshot>, Vec<(Subject, Snapshot)>) {
    let mut adopted = Vec::new();
    match siblings.look_up(subject, now, &mut |subject, snapshot| adopted.push((subject, *snapshot))) {
        Answer::Known(found) => (found, adopted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_known_from_its_begin_to_its_end() {
    let folder = folder();
    let directory = directory(folder.path());
    let (one, other) = (tellers(&directory, 2), tellers(&directory, 1));
    let mut workers = [one.teller(0), one.teller(1), other.teller(0)].map(|teller| teller.expect("it is mapped"));
    let mut reader = siblings(&directory);
    for (number, teller) in workers.iter_mut().enumerate() {
        let subject = subject(&directory, &format!("id {number}"));
        assert_eq!(look(&mut reader, subject, NOW), (None, Vec::new()));
        let slot = teller.begin(subject, &running(0, NOW)).expect("there is room");
        assert_eq!(look(&mut reader, subject, NOW), (Some(running(0, NOW)), Vec::new()));
        for received in [5, 70, 900_000] {
            teller.tell(slot, &running(received, NOW));
            assert_eq!(look(&mut reader, subject, NOW), (Some(running(received, NOW)), Vec::new()));
        }
        let last = ended(1_000_000, NOW.after(5));
        teller.end(slot, Some(&last), TIME_TO_LIVE, NOW.after(5));
        assert_eq!(look(&mut reader, subject, NOW.after(6)), (None, vec![(subject, last)]));
        assert_eq!(look(&mut reader, subject, NOW.after(6)), (None, Vec::new()), "it is told once");
        // Who comes later hears of it as well, but not when its time is over.
        assert_eq!(look(&mut siblings(&directory), subject, NOW.after(6)).1.len(), number + 1);
        assert_eq!(look(&mut siblings(&directory), subject, NOW.after(TIME_TO_LIVE + 5)).1, Vec::new());
    }
    assert_eq!(reader.take_complaints(), [""; 0]);
}

/// A file whose entries cannot be read at times.
struct Interrupted {
    file: File,
    is_whole: Cell<bool>,
}

impl Source for Interrupted {
    fn read(&self, offset: u64, words: &mut [u64]) -> bool {
        (self.is_whole.get() || words.len() < ENTRY_WORDS) && self.file.read(offset, words)
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn last_sign(&self, now: Timestamp) -> Timestamp {
        now
    }
}

#[test]
fn what_could_not_be_read_is_read_the_next_time() {
    let folder = folder();
    let directory = directory(folder.path());
    let process = tellers(&directory, 1);
    let mut teller = process.teller(0).expect("it is mapped");
    let [first, second] = ["first", "second"].map(|id| subject(&directory, id));
    let slot = teller.begin(first, &running(0, NOW)).expect("there is room");
    let last = ended(10, NOW);
    teller.end(slot, Some(&last), TIME_TO_LIVE, NOW);
    let slot = teller.begin(second, &running(5, NOW)).expect("there is room");

    let path = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let path = path.max_by_key(|path| path.metadata().expect("a file").len()).expect("its file, and that of the key");
    let file = File::open(path).expect("it can be read");
    let mut words = [0; HEADER_WORDS];
    assert!(file.read(0, &mut words));
    let seal = Seal::new(&directory.key());
    let header = Header::from_words(&words, seal).expect("a header");
    let mut reader = Reader::new(Interrupted { file, is_whole: Cell::new(false) }, header, seal, TIME_TO_LIVE);
    let mut look = |subject: Subject, is_whole: bool| {
        reader.source().is_whole.set(is_whole);
        let mut adopted = Vec::new();
        let found = find(&mut [&mut reader], subject, NOW, &mut |subject, snapshot| adopted.push((subject, *snapshot)));
        (found, adopted)
    };
    assert_eq!(look(second, false), (None, Vec::new()));
    assert_eq!(look(second, true), (Some(running(5, NOW)), vec![(first, last)]));
    teller.end(slot, Some(&last), TIME_TO_LIVE, NOW);
    assert_eq!(look(first, false), (None, Vec::new()));
    assert_eq!(look(first, true), (None, vec![(second, last)]));
}

#[test]
fn an_id_belongs_to_its_newest_request() {
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 2);
    let [mut first, mut second] = [0, 1].map(|number| tellers.teller(number).expect("it is mapped"));
    let subject = subject(&directory, "again");
    let old = first.begin(subject, &running(1, NOW)).expect("there is room");
    let newer = second.begin(subject, &running(2, NOW.after(9))).expect("there is room");
    let newest = second.begin(subject, &running(3, NOW.after(9))).expect("there is room");
    let mut reader = siblings(&directory);
    let found = |reader: &mut Siblings| look(reader, subject, NOW).0.map(|snapshot| snapshot.numbers.received());
    assert_eq!(found(&mut reader), Some(3));
    first.end(old, None, TIME_TO_LIVE, NOW);
    second.end(newer, None, TIME_TO_LIVE, NOW);
    assert_eq!(found(&mut reader), Some(3));
    second.end(newest, None, TIME_TO_LIVE, NOW);
    assert_eq!(look(&mut reader, subject, NOW), (None, Vec::new()), "nobody wants to know of its end");
}

#[test]
fn a_request_whose_id_belongs_to_a_newer_one_does_not_come_back() {
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 1);
    let mut teller = tellers.teller(0).expect("it is mapped");
    let [again, other] = ["again", "other"].map(|id| subject(&directory, id));
    let mut reader = siblings(&directory);
    for told in 0..3 {
        let old = teller.begin(again, &running(1, NOW)).expect("there is room");
        (0..told).for_each(|received| teller.tell(old, &running(received, NOW)));
        let newer = teller.begin(again, &running(2, NOW.after(9))).expect("there is room");
        teller.hide(old);
        let last = ended(3, NOW.after(600));
        teller.end(newer, Some(&last), TIME_TO_LIVE, NOW.after(600));
        assert_eq!(look(&mut reader, again, NOW.after(600)), (None, vec![(again, last)]));
        // Nobody else has its place before it has ended.
        let third = teller.begin(other, &running(4, NOW)).expect("there is room");
        assert_eq!(look(&mut reader, again, NOW.after(600)), (None, Vec::new()));
        teller.end(old, None, TIME_TO_LIVE, NOW.after(600));
        assert_eq!(look(&mut reader, other, NOW).0, Some(running(4, NOW)));
        teller.end(third, None, TIME_TO_LIVE, NOW.after(600));
    }
}

#[test]
fn what_a_process_leaves_behind_when_it_dies_is_an_error() {
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 1);
    let mut teller = tellers.teller(0).expect("it is mapped");
    let [one, other] = ["one", "other"].map(|id| subject(&directory, id));
    teller.begin(one, &running(7, NOW)).expect("there is room");
    teller.begin(other, &running(8, NOW)).expect("there is room");
    let mut reader = siblings(&directory);
    assert_eq!(look(&mut reader, one, NOW).0, Some(running(7, NOW)));
    let file = folder.path().join(tellers.name());
    drop((tellers, teller));
    let age = |milliseconds| {
        let file = File::options().write(true).open(&file).expect("it is there");
        file.set_modified(SystemTime::now() - Duration::from_millis(milliseconds)).expect("it is ours");
    };
    // Whenever it is looked for, it ended when the process was heard of last; and then it is known.
    age(20_000);
    for mut reader in [reader, siblings(&directory)] {
        let (found, mut adopted) = look(&mut reader, one, NOW.after(50_000));
        adopted.sort_by_key(|(_, snapshot)| snapshot.numbers.received());
        assert_eq!((found, adopted.len()), (None, 2));
        for ((subject, snapshot), (expected, received)) in adopted.iter().zip([(one, 7), (other, 8)]) {
            let outcome = snapshot.outcome.expect("it has ended");
            assert_eq!((*subject, snapshot.numbers.received()), (expected, received));
            assert_eq!((outcome.status, outcome.end, outcome.began), (0, End::BrokenOff(Side::Server), NOW));
            assert!((NOW.after(20_000)..=NOW.after(30_000)).contains(&outcome.ended), "{outcome:?}");
        }
        assert_eq!(look(&mut reader, one, NOW.after(50_000)), (None, Vec::new()));
    }
    // Its file goes when nobody can ask for them any more, whoever has come meanwhile: what it told last may be a second younger than
    // its last sign of life.
    let tend = || siblings(&directory).tend(NOW.after(50_000), &mut |_, _| {});
    tend();
    age(TIME_TO_LIVE);
    tend();
    assert!(file.exists());
    age(TIME_TO_LIVE + 2_000);
    tend();
    assert!(!file.exists());
}

#[test]
fn a_process_is_gone_since_it_last_said_that_it_lives_whatever_the_day_is() {
    const DAY: Duration = Duration::from_secs(86_400);
    for day in [SystemTime::now() - DAY, SystemTime::now() + DAY] {
        let folder = folder();
        let directory = directory(folder.path());
        let tellers = tellers(&directory, 1);
        let mut teller = tellers.teller(0).expect("it is mapped");
        teller.begin(subject(&directory, "a"), &running(7, NOW)).expect("there is room");
        tellers.live(NOW.after(20_000));
        let file = folder.path().join(tellers.name());
        drop((tellers, teller));
        File::options().write(true).open(&file).and_then(|file| file.set_modified(day)).expect("it is ours");
        let over = NOW.after(20_000 + TIME_TO_LIVE + 2_000).0;
        for (now, is_there) in [(Timestamp(over - 1), true), (Timestamp(over), false)] {
            let mut ends = Vec::new();
            let ended = |snapshot: &Snapshot| snapshot.outcome.map(|outcome| outcome.ended);
            siblings(&directory).tend(now, &mut |_, snapshot| ends.push(ended(snapshot)));
            assert_eq!((ends, file.exists()), (vec![Some(NOW.after(20_000))], is_there));
        }
    }
}

#[test]
fn a_file_that_comes_in_the_moment_in_which_others_were_looked_for_is_not_overlooked() {
    let folder = folder();
    let directory = directory(folder.path());
    let subject = subject(&directory, "a");
    let has_been_soon = (0..1_000).any(|_| {
        let mut reader = siblings(&directory);
        let moment = SystemTime::now();
        let set = || File::open(folder.path()).and_then(|file| file.set_modified(moment)).expect("it is set");
        set();
        assert_eq!(look(&mut reader, subject, NOW).0, None);
        let is_soon = moment.elapsed().is_ok_and(|age| age < Duration::from_millis(40));
        let mut teller = tellers(&directory, 1).teller(0).expect("it is mapped");
        let slot = teller.begin(subject, &running(7, NOW)).expect("there is room");
        set();
        let found = look(&mut reader, subject, NOW.after(1_000)).0;
        teller.end(slot, None, TIME_TO_LIVE, NOW);
        assert!(!is_soon || found == Some(running(7, NOW)), "{found:?}");
        is_soon
    });
    assert!(has_been_soon, "it is never done in a moment");
}

#[test]
fn drafts_that_were_left_behind_go() {
    let folder = folder();
    let directory = directory(folder.path());
    for (name, age) in [("draft-old", 100), ("draft-new", 1), ("other", 100)] {
        let file = File::create(folder.path().join(name)).expect("it is new");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("it is ours");
    }
    let _tellers = tellers(&directory, 1);
    let is_there = ["draft-old", "draft-new", "other"].map(|name| folder.path().join(name).exists());
    assert_eq!(is_there, [false, true, true]);
}

#[test]
fn a_file_stays_while_its_process_lives() {
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 1);
    let mut reader = siblings(&directory);
    reader.tend(NOW, &mut |_, _| panic!("there is nothing"));
    reader.tend(NOW.after(100 * TIME_TO_LIVE), &mut |_, _| panic!("there is nothing"));
    assert!(folder.path().join(tellers.name()).exists());
}

#[test]
fn many_that_end_are_all_told_and_give_their_room_back() {
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 1);
    let mut teller = tellers.teller(0).expect("it is mapped");
    let mut reader = siblings(&directory);
    let size =
        || File::open(folder.path().join(tellers.name())).expect("it is there").metadata().unwrap().blocks() * 512;
    let (mut now, mut told, mut largest) = (NOW, 0, 0);
    let count = 200_000;
    for number in 0..count {
        now = NOW.after(number * 10);
        let subject = subject(&directory, &number.to_string());
        let slot = teller.begin(subject, &running(0, now)).expect("there is room");
        teller.end(slot, Some(&ended(number, now)), TIME_TO_LIVE, now);
        if number % 1_000 == 999 {
            let (_, adopted) = look(&mut reader, subject, now);
            assert!(adopted.iter().map(|(_, snapshot)| snapshot.numbers.received()).eq(told..=number));
            told = number + 1;
            largest = largest.max(size());
        }
    }
    // 3,000 of them are known at a time, and room comes and goes for 4,096 of them.
    assert!(largest < 4 * 4_096 * ENTRY as u64, "{largest} bytes");
    let known = look(&mut siblings(&directory), subject(&directory, "none"), now).1;
    let first = known.first().map(|(_, snapshot)| snapshot.numbers.received());
    assert_eq!((known.len(), first), (3_000, Some(count - 3_000)));
}

#[test]
fn more_than_there_is_room_for_takes_the_place_of_the_oldest() {
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 1);
    let mut teller = tellers.teller(0).expect("it is mapped");
    for number in 0..100_000 {
        let slot = teller.begin(subject(&directory, &number.to_string()), &running(0, NOW)).expect("there is room");
        teller.end(slot, Some(&ended(number, NOW)), TIME_TO_LIVE, NOW);
    }
    let known = look(&mut siblings(&directory), subject(&directory, "none"), NOW).1;
    assert!(known.len() >= ENTRIES, "{}", known.len());
    let newest = known.iter().map(|(_, snapshot)| snapshot.numbers.received());
    assert!(newest.eq(100_000 - known.len() as u64..100_000));
}

#[test]
fn what_is_read_is_whole_and_never_goes_back() {
    const LAST: u64 = 300_000;
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 1);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut teller = tellers.teller(0).expect("it is mapped");
        let watched = subject(&directory, "watched");
        let slot = teller.begin(watched, &running(0, NOW)).expect("there is room");
        let (directory, is_over) = (&directory, &is_over);
        scope.spawn(move || {
            for received in 1..=LAST {
                let numbers = Numbers::new(received, received, None, received);
                teller.tell(slot, &Snapshot { numbers, rate: Some(received), ..running(0, NOW) });
                if received % 16 == 0 {
                    let other = subject(directory, &received.to_string());
                    let slot = teller.begin(other, &running(received, NOW)).expect("there is room");
                    teller.end(slot, Some(&ended(received, NOW)), TIME_TO_LIVE, NOW);
                }
            }
            is_over.store(true, Relaxed);
        });
        let mut reader = siblings(directory);
        let (mut last, mut ended) = (0, 0);
        while !is_over.load(Relaxed) {
            let (found, adopted) = look(&mut reader, watched, NOW);
            let snapshot = found.expect("while one entry is written, the other is whole");
            let received = snapshot.numbers.received();
            let numbers = snapshot.numbers;
            assert!(received >= last, "{received} after {last}");
            assert!(received == 0 || [numbers.sent(), numbers.response_size()] == [received; 2], "{snapshot:?}");
            last = received;
            for (_, snapshot) in adopted {
                assert!(snapshot.numbers.received() > ended);
                ended = snapshot.numbers.received();
            }
        }
        assert_eq!(look(&mut reader, watched, NOW).0.map(|snapshot| snapshot.numbers.received()), Some(LAST));
    });
}

/// Files that are none, or not ours.
fn foreign(folder: &Path, real: &[u8], random: &mut Rng) -> Vec<PathBuf> {
    let path = |name: &str| folder.join(format!("{name}.progress"));
    let write = |name: &str, bytes: &[u8]| {
        fs::write(path(name), bytes).expect("it is written");
        fs::set_permissions(path(name), Permissions::from_mode(0o600)).expect("it is ours");
    };
    write("empty", b"");
    write("text", b"not a file of the module's, but longer than its header is: more than sixty-four bytes of it");
    write("cut", &real[..PAGE + 100]);
    write("head", &real[..40]);
    let garbage: Vec<u8> = (0..20_000).map(|_| random.u8(..)).collect();
    write("garbage", &garbage);
    let mut larger = real[..PAGE].to_vec();
    larger[3 * 8] = 0xff;
    write("workers", &larger);
    write("open", real);
    fs::set_permissions(path("open"), Permissions::from_mode(0o644)).expect("it is ours");
    fs::create_dir(path("folder")).expect("it is new");
    symlink("/etc/passwd", path("link")).expect("it is new");
    symlink(path("garbage"), path("near")).expect("it is new");
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("it is new");
    ["empty", "text", "cut", "head", "garbage", "workers", "open", "folder", "link", "near", "fifo"].map(path).to_vec()
}

#[test]
fn what_is_no_file_of_ours_is_told_once_and_skipped() {
    let folder = folder();
    let directory = directory(folder.path());
    let tellers = tellers(&directory, 1);
    let mut teller = tellers.teller(0).expect("it is mapped");
    let known = subject(&directory, "known");
    teller.begin(known, &running(9, NOW)).expect("there is room");
    let real = fs::read(folder.path().join(tellers.name())).expect("it is there");
    let foreign = foreign(folder.path(), &real, &mut Rng::with_seed(3));
    // That of a server with another key.
    let elsewhere = self::folder();
    let other = self::directory(elsewhere.path());
    let others = self::tellers(&other, 1);
    fs::copy(elsewhere.path().join(others.name()), folder.path().join(others.name())).expect("a copy");
    let mut reader = siblings(&directory);
    for _ in 0..3 {
        assert_eq!(look(&mut reader, known, NOW), (Some(running(9, NOW)), Vec::new()));
        assert_eq!(look(&mut reader, subject(&directory, "unknown"), NOW), (None, Vec::new()));
        reader.tend(NOW.after(10 * TIME_TO_LIVE), &mut |_, _| panic!("there is nothing"));
    }
    let mut complaints = reader.take_complaints();
    complaints.sort();
    assert_eq!(complaints.len(), foreign.len() + 1, "{complaints:#?}");
    for path in foreign {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(complaints.iter().any(|one| one.starts_with(&format!("{name}: "))), "{name}: {complaints:#?}");
        assert!(path.symlink_metadata().is_ok(), "{name} is not ours to remove");
    }
    assert_eq!(reader.take_complaints(), [""; 0]);
}

/// Whatever comes to stand in a file, and however short it becomes, what is read of it is an entry or nothing.
#[test]
fn a_file_that_changes_in_any_way_does_no_harm() {
    let random = &mut Rng::with_seed(8);
    for round in 0..40 {
        let folder = folder();
        let directory = directory(folder.path());
        let tellers = Tellers::new(&directory, 2, 100, TIME_TO_LIVE).expect("a file");
        let mut teller = tellers.teller(1).expect("it is mapped");
        let subjects: Vec<_> = (0..50).map(|number| subject(&directory, &number.to_string())).collect();
        for (number, subject) in subjects.iter().enumerate() {
            let slot = teller.begin(*subject, &running(5, NOW)).expect("there is room");
            if number % 2 == 0 {
                teller.end(slot, Some(&ended(6, NOW)), TIME_TO_LIVE, NOW);
            }
        }
        drop((tellers, teller));
        let names = directory.names().expect("they are there");
        let path = folder.path().join(&names[0]);
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("it is there");
        let length = file.metadata().expect("it is there").len();
        let header = Header { boot: directory.boot(), workers: 2, ended: 4_096, time_to_live: TIME_TO_LIVE };
        let mut reader = siblings(&directory);
        for _ in 0..30 {
            let where_it_matters = [
                random.u64(..PAGE as u64),
                header.worker(1) + random.u64(..24),
                header.worker(1) + PAGE as u64 + random.u64(..100 * ENTRY as u64),
                header.worker(1) + Header::ENDED_BEGIN as u64 + random.u64(..50 * ENTRY as u64),
            ];
            let offset = random.choice(where_it_matters).expect("one of four");
            let bytes: Vec<u8> =
                (0..random.usize(1..64)).map(|_| if random.bool() { random.u8(..) } else { 0xff }).collect();
            file.write_all_at(&bytes, offset).expect("it is written");
            if random.u8(..10) == 0 {
                file.set_len(random.u64(..length)).expect("it becomes shorter");
            }
            let subject = random.choice(&subjects).expect("one of fifty");
            let (found, adopted) = look(&mut reader, *subject, NOW);
            let told = found.into_iter().chain(adopted.into_iter().map(|(_, snapshot)| snapshot));
            for snapshot in told {
                assert!([5, 6].contains(&snapshot.numbers.received()), "round {round}: {snapshot:?}");
            }
            if random.u8(..5) == 0 {
                reader = siblings(&directory);
            }
            reader.tend(NOW, &mut |_, _| {});
        }
    }
}

#[test]
fn all_who_start_at_once_have_the_same_key() {
    let folder = folder();
    thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(|| subject(&directory(folder.path()), "id"))).collect();
        let subjects: Vec<_> = all.into_iter().map(|one| one.join().expect("it has one")).collect();
        assert!(subjects.iter().all(|subject| *subject == subjects[0]));
    });
    let key = fs::metadata(folder.path().join("key")).expect("it is there");
    assert_eq!((key.mode() & 0o777, key.len()), (0o600, 16));
    let names: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_directory_that_cannot_be_used_is_refused() {
    let folder = folder();
    let refused = |path: &Path| match Directory::open(path.as_os_str().as_bytes()) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(refused(folder.path()), "");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("it is written");
    for path in [&file, &folder.path().join("none")] {
        assert!(refused(path).starts_with("expected a directory: "), "{}", refused(path));
    }
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).expect("it is new");
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(&shared, Permissions::from_mode(mode)).expect("it is ours");
        assert_eq!(refused(&shared), "expected a directory that nobody but its user writes to", "{mode:o}");
    }
    let key = folder.path().join("key");
    for (bytes, mode) in [(16, 0o644), (15, 0o600), (17, 0o600), (0, 0o600)] {
        fs::write(&key, vec![b'k'; bytes]).expect("it is written");
        fs::set_permissions(&key, Permissions::from_mode(mode)).expect("it is ours");
        let expected = "expected a key in it that is the server's alone: ";
        assert!(refused(folder.path()).starts_with(expected), "{bytes} {mode:o}: {}", refused(folder.path()));
    }
    fs::remove_file(&key).expect("it is there");
    symlink(&file, &key).expect("it is new");
    assert!(refused(folder.path()).starts_with("expected a key in it: "), "{}", refused(folder.path()));
}

#[test]
fn fingerprints_go_by_the_key_of_the_directory() {
    let [one, other] = [folder(), folder()];
    let [first, second, third] = [one.path(), one.path(), other.path()].map(directory);
    assert_eq!(subject(&first, "id"), subject(&second, "id"));
    assert_ne!(subject(&first, "id"), subject(&third, "id"));
    let _: Key = first.key();
}
