//! The event loops of workers: their clocks, the timers on them, and what else they wait for.

use crate::exports::broken;
use crate::jobs::Jobs;
use crate::server::own_place;
use crate::watcher::Watchers;
use lighttpd2::sys;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant, SystemTime};

/// A loop notices a timer that long after it was due, in seconds.
const MOMENT: f64 = 1e-6;

/// How often in a row a worker does what waits for it.
const ROUNDS: usize = 3;

/// What tells a worker's loop from other memory.
const MARK: usize = 0x6c6f_6f70_6c6f_6f70;

/// What is in a worker's loop: the mark, and where our own loop is.
type Own = (usize, *const EventLoop);

/// The event loop of a worker. Its clock goes on with the worker where that serves, and by hand elsewhere.
pub struct EventLoop {
    began: Instant,
    /// When that was, as lighttpd2 tells time.
    epoch: f64,
    state: Mutex<State>,
    pub(crate) jobs: Jobs,
    pub(crate) watchers: Watchers,
}

struct State {
    /// Whose it is: the worker's thread, or the main thread until that runs.
    owner: ThreadId,
    is_prepared: bool,
    is_stopped: bool,
    now: f64,
    timers: Vec<Timer>,
}

/// A queue that is attached.
#[derive(Clone, Copy)]
struct Timer {
    queue: Queue,
    due: Option<f64>,
    keeps_alive: bool,
}

/// Where a queue of the module's is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Queue(*mut sys::liWaitQueue);

// SAFETY: it is an address; what is there is used on the loop's thread only.
unsafe impl Send for Queue {}

impl EventLoop {
    /// A loop without timers, which belongs to this thread.
    pub(crate) fn new() -> Self {
        let epoch = SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64());
        let owner = thread::current().id();
        let state = State { owner, is_prepared: false, is_stopped: false, now: epoch, timers: Vec::new() };
        let (jobs, watchers) = (Jobs::default(), Watchers::default());
        Self { began: Instant::now(), epoch, state: Mutex::new(state), jobs, watchers }
    }

    /// Makes it the loop of `worker`.
    ///
    /// # Safety
    /// `worker` is a worker that nobody else uses now, and goes before the loop does.
    pub(crate) unsafe fn place_in(&self, worker: *mut sys::liWorker) {
        // SAFETY: the caller promises it.
        unsafe { own_place::<Own, _>(&raw mut (*worker).loop_).write_unaligned((MARK, ptr::from_ref(self))) };
    }

    /// The loop that the module knows by this.
    ///
    /// # Safety
    /// `event_loop` is that of a worker that lives during `'a`, or other memory that can be read.
    pub(crate) unsafe fn from_abi<'a>(event_loop: *mut sys::liEventLoop) -> &'a Self {
        if event_loop.is_null() {
            broken("an event loop that is NULL");
        }
        // SAFETY: the caller promises memory; only with the mark is there what `place_in` has left.
        unsafe {
            let (mark, own) = own_place::<Own, _>(event_loop).read_unaligned();
            if mark != MARK {
                broken("an event loop that is no worker's");
            }
            &*own
        }
    }

    /// The time, in seconds since 1970. It stands still during a callback.
    pub fn now(&self) -> f64 {
        self.state().now
    }

    /// How many queues are attached.
    pub fn queues(&self) -> usize {
        self.state().timers.len()
    }

    /// How long it is until the next timer is due.
    pub fn next_timer(&self) -> Option<Duration> {
        let state = self.state();
        state.next().map(|(_, due)| Duration::try_from_secs_f64((due - state.now).max(0.0)).unwrap_or(Duration::MAX))
    }

    /// Lets so much time pass on its clock, and runs each timer that is due meanwhile, at its time. Returns how many did.
    ///
    /// # Panics
    /// On another thread than the loop's.
    pub fn pass_time(&self, time: Duration) -> usize {
        assert!(self.is_own(), "time passes on the thread that has prepared the worker");
        let end = self.now() + time.as_secs_f64();
        let mut count = 0;
        loop {
            let next = self.state().next();
            let Some((_, due)) = next.filter(|(_, due)| *due <= end) else { break };
            let now = self.now().max(due + MOMENT);
            self.state().now = now;
            count += self.run_due();
        }
        let now = self.now().max(end);
        self.state().now = now;
        count
    }

    /// Calls the callbacks for watched descriptors that are ready. Returns how many it has called.
    ///
    /// # Panics
    /// On another thread than the loop's.
    pub fn run_ready(&self) -> usize {
        assert!(self.is_own(), "descriptors are watched on the thread that has prepared the worker");
        self.watchers.run()
    }

    /// Does what waits for its worker. As in lighttpd2, what comes up again and again waits for the next time.
    pub(crate) fn run_jobs(&self) -> usize {
        self.jobs.run_asked() + (0..ROUNDS).map(|_| self.jobs.run()).sum::<usize>()
    }

    /// Sets its clock, runs the timers that are due, and calls the callbacks for descriptors that are ready.
    pub(crate) fn turn(&self) {
        let now = self.epoch + self.began.elapsed().as_secs_f64();
        self.state().now = now;
        self.run_due();
        self.run_ready();
    }

    /// When it has to get a turn at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let (_, due) = self.state().next()?;
        let since = Duration::try_from_secs_f64((due + MOMENT - self.epoch).max(0.0)).ok()?;
        self.began.checked_add(since)
    }

    /// Whether a timer or a watcher keeps its worker from ending.
    pub(crate) fn is_kept_alive(&self) -> bool {
        self.watchers.is_watching() || self.state().timers.iter().any(|timer| timer.due.is_some() && timer.keeps_alive)
    }

    /// From now on it belongs to this thread.
    pub(crate) fn adopt(&self) {
        self.state().owner = thread::current().id();
    }

    /// Its worker begins, on this thread.
    pub(crate) fn prepare(&self) {
        let mut state = self.state();
        state.owner = thread::current().id();
        state.is_prepared = true;
        state.now = self.epoch + self.began.elapsed().as_secs_f64();
    }

    /// Its worker is told to stop.
    pub(crate) fn set_stopped(&self) {
        self.state().is_stopped = true;
    }

    /// Whether its worker has begun.
    pub(crate) fn is_prepared(&self) -> bool {
        self.state().is_prepared
    }

    /// Whether its worker has begun on this thread, and was not told to stop.
    pub(crate) fn is_left_running(&self) -> bool {
        let state = self.state();
        state.is_prepared && !state.is_stopped && self.owns(&state)
    }

    /// Its worker is gone. As in lighttpd2, jobs that it has not come to are done now, on this thread.
    pub(crate) fn end(&self) {
        while !self.jobs.is_empty() {
            self.adopt();
            self.run_jobs();
        }
        self.jobs.close();
        if self.queues() > 0 {
            broken("a waitqueue is not stopped when its worker ends");
        }
        if self.watchers.is_watching() {
            broken("a descriptor is watched when its worker ends");
        }
        // SAFETY: as in lighttpd2, watchers are there until the workers are gone, or there is a fault.
        unsafe { self.watchers.release() };
    }

    /// Attaches a queue.
    pub(crate) fn attach(&self, queue: *mut sys::liWaitQueue) {
        self.check_thread("a timer");
        let mut state = self.state();
        if state.timers.iter().any(|timer| timer.queue == Queue(queue)) {
            broken("a waitqueue is made where one is that was not stopped");
        }
        state.timers.push(Timer { queue: Queue(queue), due: None, keeps_alive: true });
    }

    /// Forgets a queue.
    pub(crate) fn detach(&self, queue: *mut sys::liWaitQueue) {
        self.state().timers.retain(|timer| timer.queue != Queue(queue));
    }

    /// Says when the timer of a queue is due, in so many seconds, and whether it keeps the worker alive till then.
    pub(crate) fn set_timer(&self, queue: *mut sys::liWaitQueue, seconds: Option<f64>, keeps_alive: bool) {
        let mut state = self.state();
        let due = seconds.map(|seconds| state.now + seconds);
        if let Some(timer) = state.timers.iter_mut().find(|timer| timer.queue == Queue(queue)) {
            (timer.due, timer.keeps_alive) = (due, keeps_alive);
        }
    }

    /// Ends the program where this thread may not use the queue, or it has changed behind the loop's back: its timer
    /// `is_active` and `keeps_alive` by what is in the queue.
    pub(crate) fn check(&self, queue: *mut sys::liWaitQueue, is_active: bool, keeps_alive: bool) {
        self.check_thread("a timer");
        let state = self.state();
        let Some(timer) = state.timers.iter().find(|timer| timer.queue == Queue(queue)) else {
            broken("a waitqueue that was moved or copied");
        };
        if timer.due.is_some() != is_active {
            broken("it changes whether a timer is active");
        }
        if is_active && timer.keeps_alive != keeps_alive {
            broken("it changes keep_loop_alive of a timer that is running");
        }
    }

    /// Ends the program where `what` is used, which belongs to it, and it is not this thread's.
    pub(crate) fn check_thread(&self, what: &str) {
        if !self.is_own() {
            broken(&format!("{what} is used on another thread than its worker's"));
        }
    }

    /// Whether it is this thread's.
    pub(crate) fn is_own(&self) -> bool {
        self.owns(&self.state())
    }

    fn owns(&self, state: &State) -> bool {
        state.owner == thread::current().id()
    }

    /// Runs the timers that are due now, the earliest first. Returns how many.
    fn run_due(&self) -> usize {
        let mut count = 0;
        loop {
            let Queue(queue) = {
                let state = self.state();
                match state.next() {
                    Some((queue, due)) if due < state.now => queue,
                    _ => return count,
                }
            };
            // SAFETY: it is attached, which the module ends before the queue's memory goes.
            unsafe { crate::waitqueue::run(self, queue) };
            count += 1;
        }
    }

    /// Whether a queue is attached and its timer does not run.
    pub(crate) fn is_at_rest(&self, queue: *mut sys::liWaitQueue) -> bool {
        self.state().timers.iter().any(|timer| timer.queue == Queue(queue) && timer.due.is_none())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next timer, and when it is due.
    fn next(&self) -> Option<(Queue, f64)> {
        let running = self.timers.iter().filter_map(|timer| timer.due.map(|due| (timer.queue, due)));
        running.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}
