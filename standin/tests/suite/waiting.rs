//! A waitqueue as a module has it, with a callback that writes down when it ran.

use lighttpd2::sys;
use standin::event_loop::EventLoop;
use standin::log::Log;
use standin::memory::Memory;
use standin::server::StandInServer;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

pub const DELAY: Duration = Duration::from_secs(10);

/// What rounding and a loop's own moment may make of a time, in seconds.
pub const SMALL: f64 = 1e-5;

/// A queue, its elements, and what its callback has seen: when it ran, and how many were ready.
pub struct Waiting {
    pub queue: UnsafeCell<sys::liWaitQueue>,
    pub elements: [UnsafeCell<sys::liWaitQueueElem>; 3],
    runs: RefCell<Vec<(f64, usize)>>,
    pub updates: Cell<bool>,
    pub server: Arc<StandInServer>,
    start: f64,
}

impl Waiting {
    /// A queue on a worker of `server`.
    pub fn new(server: &Arc<StandInServer>, worker: usize) -> Box<Self> {
        let waiting = Box::new(Self {
            // SAFETY: they are made of numbers, pointers and functions that may be NULL.
            queue: unsafe { mem::zeroed() },
            // SAFETY: as above.
            elements: unsafe { mem::zeroed() },
            runs: RefCell::default(),
            updates: Cell::new(true),
            server: Arc::clone(server),
            start: server.event_loop(worker).now(),
        });
        waiting.make(worker);
        waiting
    }

    pub fn make(&self, worker: usize) {
        let data = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the worker is there, and the queue stays where it is until it is stopped.
        unsafe {
            let event_loop = &raw mut (*self.server.worker(worker)).loop_;
            let delay = DELAY.as_secs_f64();
            sys::li_waitqueue_init(self.queue.get(), event_loop, c"waiting".as_ptr(), Some(run), delay, data);
        }
    }

    pub fn push(&self, number: usize) {
        // SAFETY: queue and element stay where they are.
        unsafe { sys::li_waitqueue_push(self.queue.get(), self.elements[number].get()) };
    }

    /// The number of the element that has waited long enough.
    pub fn pop(&self) -> Option<usize> {
        // SAFETY: as in `push`.
        let popped = unsafe { sys::li_waitqueue_pop(self.queue.get()) };
        self.elements.iter().position(|elem| ptr::eq(elem.get(), popped))
    }

    pub fn update(&self) {
        // SAFETY: as in `push`.
        unsafe { sys::li_waitqueue_update(self.queue.get()) };
    }

    pub fn stop(&self) {
        // SAFETY: as in `push`.
        unsafe { sys::li_waitqueue_stop(self.queue.get()) };
    }

    pub fn length(&self) -> u32 {
        // SAFETY: nobody else uses it now.
        unsafe { (*self.queue.get()).length }
    }

    /// What each element says of itself.
    pub fn queued(&self) -> [i32; 3] {
        // SAFETY: as in `length`.
        self.elements.each_ref().map(|elem| unsafe { (*elem.get()).queued })
    }

    pub fn base(&self, look: impl FnOnce(&mut sys::liEventBase)) {
        // SAFETY: as in `length`.
        look(unsafe { &mut (*self.queue.get()).timer.base });
    }

    pub fn event_loop(&self) -> &EventLoop {
        self.server.event_loop(0)
    }

    pub fn pass(&self, seconds: f64) -> usize {
        self.event_loop().pass_time(Duration::from_secs_f64(seconds))
    }

    /// Checks when the callback has run since the last time, in seconds from the start, and how many were ready.
    pub fn expect_runs(&self, expected: &[(f64, usize)]) {
        let runs: Vec<_> = self.runs.take().into_iter().map(|(time, ready)| (time - self.start, ready)).collect();
        let are_alike = runs.len() == expected.len()
            && runs
                .iter()
                .zip(expected)
                .all(|(run, expected)| (run.0 - expected.0).abs() < SMALL && run.1 == expected.1);
        assert!(are_alike, "{runs:?} instead of {expected:?}");
    }
}

/// # Safety
/// It is the callback of such a queue.
pub unsafe extern "C" fn run(queue: *mut sys::liWaitQueue, data: *mut c_void) {
    // SAFETY: `make` has passed it, and it is not used by others while timers run.
    let waiting = unsafe { &*data.cast::<Waiting>() };
    assert_eq!(waiting.queue.get(), queue);
    let now = waiting.event_loop().now();
    let ready = std::iter::from_fn(|| waiting.pop()).count();
    waiting.runs.borrow_mut().push((now, ready));
    if waiting.updates.get() {
        waiting.update();
    }
}

/// A server with two workers.
pub fn server() -> Arc<StandInServer> {
    StandInServer::new(2, Memory::Guarded, Log::kept())
}
