//! What one worker tells other hosts, and asks them.

use super::line::{Event, Line, LineError};
use super::record::{Check, Record, name};
use super::{Address, Answered, Over};
use crate::secret::Secret;
use crate::{Answer, Elsewhere};
use progress::{Numbers, Snapshot, Subject, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A running request that nobody tells of any more is forgotten after that, in milliseconds, if its time to live is not shorter.
const LONGEST_RUNNING: u64 = 60_000;

/// It is told again before that is over, even where nothing has moved.
const REFRESHES: u64 = 3;

/// How long it takes at the most until it is tried once more to tell of one that has ended, in milliseconds.
const LONGEST_RETRY: u64 = 500;

/// How far the age of a request can be behind the time at which it began here, in milliseconds: the clock is coarse, and processors
/// are busy.
const COARSE: u64 = 20;

/// How long it is tried at least to tell of one that has ended, in milliseconds.
const LEAST_ENDED: u64 = 5_000;

/// So many that have ended wait to be told at the most, and so many questions for an answer.
const MOST_ENDED: usize = 10_000;
const MOST_QUESTIONS: usize = 10_000;

/// What all workers of a server have of it.
pub struct Sharing {
    /// The engine.
    pub address: Arc<Address>,
    /// What all hosts have that share with each other.
    pub secret: Secret,
    /// Between two times that a running request is told, at least; in milliseconds, as all of these.
    pub interval: u64,
    /// How long an answer is waited for.
    pub timeout: u64,
    /// How long a request that has ended stays known.
    pub time_to_live: u64,
}

/// What one worker tells and asks.
pub struct Share {
    sharing: Arc<Sharing>,
    check: Check,
    line: Line<Purpose>,
    /// Requests that are told, by the numbers of [`Told`].
    told: HashMap<u64, Entry>,
    /// Of a request that is told, or a question.
    last_number: u64,
    /// Those among them that have ended, the oldest first.
    ended: VecDeque<u64>,
    questions: HashMap<Subject, Question>,
    /// How far the clock that all hosts have is ahead of this one's, in milliseconds.
    ahead: i64,
    heard: Vec<Heard>,
    events: Vec<Event<Purpose>>,
}

/// A request that is told, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Told(u64);

/// What waits for an answer.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// A request was told.
    Tell(u64),
    /// Another one has its name.
    Compare(u64),
    /// A question, by its number.
    Ask(Subject, u64),
}

struct Question {
    number: u64,
    asked: Timestamp,
}

struct Entry {
    subject: Subject,
    /// When it began, on the clock that all hosts have, in microseconds.
    age: u64,
    /// How far that clock was ahead then: it may be set meanwhile.
    ahead: i64,
    snapshot: Snapshot,
    /// Whether that is still to be told.
    is_new: bool,
    /// How often it was told and that is not answered yet.
    in_flight: u32,
    over: Over,
    /// Whether it is asked for what has its name, which may be a newer one.
    is_compared: bool,
    /// When it was told last.
    at: Option<Timestamp>,
    /// Its id belongs to a newer request elsewhere: it is told no more.
    is_superseded: bool,
}

/// What comes of telling and asking.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Others can know these numbers of a request from now on: they are on their way.
    Told(Told, Numbers),
    /// The engine has kept what it was given.
    Kept,
    /// What was asked for is this; `None` where nothing is known. Those that have ended are to be kept.
    Answer(Subject, Option<Snapshot>),
    /// That did not come to be known in time, or could not be asked for.
    NoAnswer(Subject, Trouble),
    /// The engine is there from now on.
    Up,
    /// It is not, and is tried again.
    Down(String),
    /// It did not keep what it was given.
    Refused(String),
    /// A request has ended, and nobody could be told in time.
    Lost,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not come in time.
    Late,
    /// The engine is not there.
    Away,
}

impl Sharing {
    /// How long a running request stays known that nobody tells of any more, in milliseconds.
    pub fn running_time(&self) -> u64 {
        // Where none that has ended is known, those that run are.
        if self.time_to_live == 0 {
            LONGEST_RUNNING
        } else {
            self.time_to_live.min(LONGEST_RUNNING).max(3 * self.interval)
        }
    }

    /// After how long a running request is told again though nothing has moved, in milliseconds.
    fn refresh_interval(&self) -> u64 {
        self.running_time() / REFRESHES
    }
}

impl Share {
    /// Nothing is told yet, and there is no connection.
    pub fn new(sharing: Arc<Sharing>) -> Self {
        Self {
            check: Check::new(sharing.secret),
            line: Line::new(Arc::clone(&sharing.address)),
            sharing,
            told: HashMap::new(),
            last_number: 0,
            ended: VecDeque::new(),
            questions: HashMap::new(),
            ahead: 0,
            heard: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The clock that all hosts have is so many milliseconds ahead of the one whose times are given here.
    pub fn set_ahead(&mut self, ahead: i64) {
        self.ahead = ahead;
    }

    /// The socket that is to be watched, and whether for room to write, too.
    pub fn socket(&self) -> Option<(&Arc<OwnedFd>, bool)> {
        self.line.socket()
    }

    /// Whether something is to be done in time: it has to [beat](Self::beat).
    pub fn is_busy(&self) -> bool {
        !self.line.is_up() || !self.told.is_empty() || !self.questions.is_empty()
    }

    /// How many requests are told whose telling is not answered yet.
    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        self.told.values().filter(|entry| entry.in_flight > 0).count()
    }

    /// Whether the engine can be told and asked something.
    pub fn is_up(&self) -> bool {
        self.line.is_up()
    }

    /// What has been heard since it was last asked.
    pub fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// A request has begun: it is told at once, and again and again until it has [ended](Self::end). `age`: when it began, in
    /// microseconds since 1970.
    pub fn begin(&mut self, subject: Subject, snapshot: Snapshot, age: u64, now: Timestamp) -> Told {
        // There can be no newer one, unless it is told later.
        let number = self.insert(subject, snapshot, age, Over::Anything);
        self.tell(number, now);
        if let Some(entry) = self.told.get_mut(&number).filter(|entry| entry.at.is_none()) {
            entry.over = Over::UNSEEN;
        }
        self.line.flush();
        Told(number)
    }

    fn insert(&mut self, subject: Subject, snapshot: Snapshot, age: u64, over: Over) -> u64 {
        self.last_number += 1;
        let entry = Entry {
            subject,
            age,
            ahead: self.ahead,
            snapshot,
            is_new: true,
            in_flight: 0,
            over,
            is_compared: false,
            at: None,
            is_superseded: false,
        };
        self.told.insert(self.last_number, entry);
        self.last_number
    }

    /// Whether how far a request is would be told now.
    pub fn is_due(&self, Told(number): Told, now: Timestamp) -> bool {
        self.told.get(&number).is_some_and(|entry| entry.is_due(now, self.sharing.interval))
    }

    /// Whether a request is told no more, since its id belongs to a newer one elsewhere.
    pub fn is_superseded(&self, Told(number): Told) -> bool {
        self.told.get(&number).is_some_and(|entry| entry.is_superseded)
    }

    /// How far a request is, to be told with the next [beat](Self::beat). Whether anything is new.
    pub fn update(&mut self, Told(number): Told, snapshot: Snapshot) -> bool {
        let Some(entry) = self.told.get_mut(&number).filter(|entry| entry.snapshot.outcome.is_none()) else {
            return false;
        };
        entry.is_new |= entry.snapshot != snapshot;
        entry.snapshot = snapshot;
        entry.is_new && !entry.is_superseded
    }

    /// A request has ended: that is told at once, or as soon as it can be.
    pub fn end(&mut self, Told(number): Told, snapshot: Option<&Snapshot>, now: Timestamp) {
        let Some(entry) = self.told.get_mut(&number) else { return };
        match snapshot {
            Some(snapshot) if !entry.is_superseded => {
                (entry.snapshot, entry.is_new) = (*snapshot, true);
                if entry.in_flight > 0 && !entry.is_compared {
                    // The server may stop before that is answered.
                    entry.over = Over::Last;
                }
                self.ended.push_back(number);
                if self.ended.len() > MOST_ENDED {
                    let oldest = self.ended.pop_front();
                    if oldest.and_then(|oldest| self.told.remove(&oldest)).is_some() {
                        self.heard.push(Heard::Lost);
                    }
                }
                self.tell(number, now);
                self.line.flush();
            }
            _ => {
                self.told.remove(&number);
            }
        }
    }

    /// A request that has ended, to be told once more where the engine has lost it.
    pub fn repeat(&mut self, subject: Subject, snapshot: &Snapshot, now: Timestamp) {
        if self.ended.len() < MOST_ENDED {
            // How exact its age was is not known any more: it is not less than what the engine may have of it, as it ran.
            let age = snapshot.shifted(self.ahead).began.after(COARSE).0.saturating_mul(1_000);
            let number = self.insert(subject, *snapshot, age, Over::UNSEEN);
            self.ended.push_back(number);
            self.tell(number, now);
        }
    }

    /// Whether there is room to [repeat](Self::repeat) some hundred.
    pub fn has_room(&self) -> bool {
        self.line.has_room() && self.ended.len() < MOST_ENDED / 2
    }

    /// How long it is between two times that something is asked for which is watched, in milliseconds: what ends is not missed.
    pub fn question_interval(&self) -> u64 {
        match self.sharing.time_to_live {
            0 => self.sharing.interval,
            time_to_live => self.sharing.interval.min(time_to_live / 2),
        }
    }

    /// After how long a running request is told again though nothing has moved, in milliseconds.
    pub fn refresh_interval(&self) -> u64 {
        self.sharing.refresh_interval()
    }

    /// How long a running request stays known that nobody tells of any more, in milliseconds.
    pub fn running_time(&self) -> u64 {
        self.sharing.running_time()
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        self.line.flush();
    }

    /// Does what is due. To be called about every 50 milliseconds while it [is busy](Self::is_busy).
    pub fn beat(&mut self, now: Timestamp) {
        self.line.beat(now, &mut self.events);
        self.take_events(now);
        let (interval, refresh) = (self.sharing.interval, self.sharing.refresh_interval());
        let due: Vec<u64> = self
            .told
            .iter()
            .filter(|(_, entry)| {
                let is_old = entry.snapshot.outcome.is_none() && entry.at.is_none_or(|at| now.since(at) >= refresh);
                entry.is_due(now, interval) && (entry.is_new || is_old)
            })
            .map(|(number, _)| *number)
            .collect();
        due.into_iter().for_each(|number| self.tell(number, now));
        self.line.flush();
        let (timeout, heard) = (self.sharing.timeout, &mut self.heard);
        self.questions.retain(|subject, question| {
            let is_late = now.since(question.asked) >= timeout;
            if is_late {
                heard.push(Heard::NoAnswer(*subject, Trouble::Late));
            }
            !is_late
        });
        self.forget_ended(now);
    }

    /// The socket is ready.
    pub fn ready(&mut self, now: Timestamp) {
        self.line.ready(now, &mut self.events);
        self.take_events(now);
        self.line.flush();
    }

    /// Gives those up whose time is over before anybody could be told.
    fn forget_ended(&mut self, now: Timestamp) {
        let longest = self.sharing.time_to_live.max(LEAST_ENDED);
        while let Some(number) = self.ended.front() {
            let outcome = self.told.get(number).and_then(|entry| entry.snapshot.outcome);
            match outcome {
                Some(outcome) if outcome.ended.after(longest) > now => break,
                Some(_) => self.heard.push(Heard::Lost),
                None => {}
            }
            self.told.remove(number);
            self.ended.pop_front();
        }
    }

    /// Tells of a request, where that can be.
    fn tell(&mut self, number: u64, now: Timestamp) {
        let Some(entry) = self.told.get_mut(&number) else { return };
        let waits = entry.in_flight > 0 && entry.over != Over::Last;
        if waits || entry.is_superseded || !self.line.has_room() {
            return;
        }
        let sharing = &self.sharing;
        let left = match entry.snapshot.outcome {
            Some(outcome) => outcome.ended.after(sharing.time_to_live).since(now),
            None => sharing.running_time(),
        };
        let record = Record { age: entry.age, snapshot: entry.snapshot.shifted(entry.ahead) };
        let record = record.into_bytes(entry.subject, &self.check);
        let (name, over) = (name(entry.subject), entry.over);
        entry.in_flight += 1;
        (entry.is_new, entry.at) = (false, Some(now));
        self.heard.push(Heard::Told(Told(number), entry.snapshot.numbers));
        self.line.say(Purpose::Tell(number), now, |dialect, out| dialect.give(&name, &record, left, over, out));
    }

    fn take_events(&mut self, now: Timestamp) {
        for event in std::mem::take(&mut self.events) {
            match event {
                // With the next beat all is told again.
                Event::Up => self.heard.push(Heard::Up),
                Event::Down(error) => self.down(&error),
                Event::Answer(Purpose::Tell(number), answered) => self.given(number, answered, now),
                Event::Answer(Purpose::Compare(number), answered) => self.compared(number, answered),
                Event::Answer(Purpose::Ask(subject, number), answered) => self.answered(subject, number, answered),
            }
        }
    }

    fn down(&mut self, error: &LineError) {
        for entry in self.told.values_mut() {
            // Perhaps it was kept, perhaps not; another host may have told a newer one since.
            entry.over = Over::UNSEEN;
            (entry.is_new, entry.in_flight, entry.is_compared, entry.at) = (true, 0, false, None);
        }
        let gone = self.questions.drain().map(|(subject, _)| Heard::NoAnswer(subject, Trouble::Away));
        self.heard.extend(gone);
        self.heard.push(Heard::Down(error.to_string()));
    }

    /// A request was told.
    fn given(&mut self, number: u64, answered: Answered, now: Timestamp) {
        let Some(entry) = self.told.get_mut(&number) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        match answered {
            Answered::Done(version) => {
                self.heard.push(Heard::Kept);
                if entry.in_flight > 0 {
                    return;
                }
                entry.over = Over::Version(version);
                if entry.snapshot.outcome.is_some() && !entry.is_new {
                    self.told.remove(&number);
                }
            }
            // What was there is gone. If nothing was, it is no engine that answers so: it is told once more after the interval.
            Answered::Nothing => {
                let is_gone = entry.over != Over::Nothing;
                (entry.over, entry.is_new) = (Over::Nothing, true);
                if is_gone {
                    self.tell(number, now);
                }
            }
            Answered::Conflict => {
                (entry.in_flight, entry.is_compared) = (entry.in_flight + 1, true);
                let name = name(entry.subject);
                self.line.say(Purpose::Compare(number), now, |dialect, out| dialect.ask(&name, out));
            }
            // Once more after the interval: another host may have told a newer one by then.
            Answered::Refused(reason) => {
                (entry.over, entry.is_new) = (Over::UNSEEN, true);
                self.heard.push(Heard::Refused(reason));
            }
            Answered::Value(..) => self.heard.push(Heard::Refused("it gives what was not asked for".to_string())),
        }
    }

    /// What is kept in the place of a request that could not be told. Whatever it is, it is told again after the interval, if at all.
    fn compared(&mut self, number: u64, answered: Answered) {
        let Some(entry) = self.told.get_mut(&number) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        (entry.is_new, entry.is_compared) = (true, false);
        match answered {
            Answered::Value(bytes, version) => match Record::from_bytes(&bytes, entry.subject, &self.check) {
                Some(other) if other.age > entry.age => {
                    entry.is_superseded = true;
                    if entry.snapshot.outcome.is_some() {
                        self.told.remove(&number);
                    }
                }
                Some(_) => entry.over = Over::Version(version),
                // Nobody's.
                None => entry.over = Over::Anything,
            },
            Answered::Nothing => entry.over = Over::Nothing,
            Answered::Refused(reason) => self.heard.push(Heard::Refused(reason)),
            Answered::Done(_) | Answered::Conflict => {}
        }
    }

    fn answered(&mut self, subject: Subject, number: u64, answered: Answered) {
        if self.questions.get(&subject).is_none_or(|question| question.number != number) {
            // Nobody waits for it any more.
            return;
        }
        self.questions.remove(&subject);
        let known = match answered {
            Answered::Value(bytes, _) => Record::from_bytes(&bytes, subject, &self.check),
            Answered::Refused(reason) => {
                self.heard.push(Heard::Refused(reason));
                None
            }
            _ => None,
        };
        let known = known.map(|known| known.snapshot.shifted(self.ahead.saturating_neg()));
        self.heard.push(Heard::Answer(subject, known));
    }
}

impl Elsewhere for Share {
    fn look_up(&mut self, subject: Subject, now: Timestamp, _: &mut dyn FnMut(Subject, &Snapshot)) -> Answer {
        if self.questions.contains_key(&subject) {
            return Answer::Later;
        }
        if !self.line.has_room() || self.questions.len() >= MOST_QUESTIONS {
            return Answer::Nowhere;
        }
        self.last_number += 1;
        let (number, name) = (self.last_number, name(subject));
        self.questions.insert(subject, Question { number, asked: now });
        self.line.say(Purpose::Ask(subject, number), now, |dialect, out| dialect.ask(&name, out));
        self.line.flush();
        Answer::Later
    }
}

impl Entry {
    /// Whether it can be told now as far as time is concerned.
    fn is_due(&self, now: Timestamp, interval: u64) -> bool {
        let interval = if self.snapshot.outcome.is_some() { interval.min(LONGEST_RETRY) } else { interval };
        let is_soon = self.at.is_some_and(|at| now.since(at) < interval);
        !self.is_superseded && self.in_flight == 0 && !is_soon
    }
}
