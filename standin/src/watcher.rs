//! lighttpd2's watchers of descriptors: sockets of the module's that workers' loops wait for.

use crate::event_loop::EventLoop;
use crate::exports::broken;
use crate::serve::poll_or_interrupted;
use lighttpd2::sys;
use rustix::event::{PollFd, PollFlags};
use std::ffi::{c_char, c_int};
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// `LI_EVT_IO`.
const IO: i32 = 1;

/// What stands for no descriptor.
const NONE: c_int = -1;

const READ: c_int = sys::LI_EV_READ as c_int;
const WRITE: c_int = sys::LI_EV_WRITE as c_int;

type Io = *mut sys::liEventIO;

/// The watchers that are attached to a loop.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<List>);

#[derive(Default)]
struct List {
    watchers: Vec<Watcher>,
    /// How often one of them has begun to watch.
    starts: u64,
}

#[derive(Clone, Copy)]
struct Watcher {
    io: Address,
    callback: unsafe extern "C" fn(*mut sys::liEventBase, c_int),
    events: c_int,
    watched: Option<Watched>,
}

/// What a watcher watches.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Watched {
    descriptor: RawFd,
    /// Which start that was: what was noticed before is forgotten with the next one.
    start: u64,
}

/// Where a watcher of the module's is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Address(Io);

// SAFETY: it is an address; what is there is used on the loop's thread only, or when that is gone.
unsafe impl Send for Address {}

impl Watchers {
    /// Whether a descriptor is watched.
    pub fn is_watching(&self) -> bool {
        self.list().watchers.iter().any(|watcher| watcher.watched.is_some())
    }

    /// Adds what is waited for.
    pub fn poll_on<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        polled.extend(self.list().polled().map(|(_, _, polled)| polled));
    }

    /// Calls the callbacks for descriptors that are ready now. Returns how many it has called.
    pub fn run(&self) -> usize {
        let (watchers, mut polled): (Vec<_>, Vec<_>) =
            self.list().polled().map(|(watcher, watched, polled)| ((watcher, watched), polled)).unzip();
        if polled.is_empty() {
            return 0;
        }
        poll_or_interrupted(&mut polled, Some(Duration::ZERO)).expect("descriptors can be polled");
        let mut count = 0;
        for ((watcher, watched), polled) in watchers.into_iter().zip(polled) {
            let flags = polled.revents();
            if flags.contains(PollFlags::NVAL) {
                broken("a descriptor is closed while it is watched");
            }
            let events = watcher.events_of(flags);
            if events != 0 && self.list().find(watcher.io.0).is_some_and(|now| now.watched == Some(watched)) {
                // SAFETY: it is attached, which ends before its memory goes; the module has given the callback for it.
                unsafe { (watcher.callback)(&raw mut (*watcher.io.0).base, events) };
                count += 1;
            }
        }
        count
    }

    /// The worker goes, and the watchers with it, which watch nothing any more.
    ///
    /// # Safety
    /// The memory of all that are attached is there, and the thread that they belong to has ended.
    pub unsafe fn release(&self) {
        for watcher in std::mem::take(&mut self.list().watchers) {
            // SAFETY: the caller promises it.
            unsafe { (*watcher.io.0).base.opaque_rest[0] = ptr::null_mut() };
        }
    }

    fn attach(&self, io: Io, callback: unsafe extern "C" fn(*mut sys::liEventBase, c_int), events: c_int) {
        let mut list = self.list();
        if list.find(io).is_some() {
            broken("a watcher is made where one is that is attached");
        }
        list.watchers.push(Watcher { io: Address(io), callback, events, watched: None });
    }

    /// Begins anew to watch that descriptor, or stops.
    fn watch(&self, io: Io, descriptor: Option<RawFd>) {
        let mut list = self.list();
        list.starts += 1;
        let start = list.starts;
        if let Some(watcher) = list.find(io) {
            watcher.watched = descriptor.map(|descriptor| Watched { descriptor, start });
        }
    }

    fn set_events(&self, io: Io, events: c_int) {
        if let Some(watcher) = self.list().find(io) {
            watcher.events = events;
        }
    }

    fn get(&self, io: Io) -> Option<Watcher> {
        self.list().find(io).copied()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn find(&mut self, io: Io) -> Option<&mut Watcher> {
        self.watchers.iter_mut().find(|watcher| watcher.io == Address(io))
    }

    /// Those that wait for something, and for what.
    fn polled<'a>(&self) -> impl Iterator<Item = (Watcher, Watched, PollFd<'a>)> {
        self.watchers.iter().filter(|watcher| watcher.events != 0).filter_map(|watcher| {
            let watched = watcher.watched?;
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, watcher.events & READ != 0);
            flags.set(PollFlags::OUT, watcher.events & WRITE != 0);
            // SAFETY: the module keeps a descriptor open while it is watched, or else the program ends.
            let descriptor = unsafe { BorrowedFd::borrow_raw(watched.descriptor) };
            Some((*watcher, watched, PollFd::from_borrowed_fd(descriptor, flags)))
        })
    }
}

impl Watcher {
    /// What has happened of what it waits for. An error or a hang-up is all of that.
    fn events_of(&self, flags: PollFlags) -> c_int {
        let either = PollFlags::ERR | PollFlags::HUP;
        let events = [(READ, PollFlags::IN), (WRITE, PollFlags::OUT)];
        let happened = events.into_iter().filter(|(_, flag)| flags.intersects(*flag | either));
        happened.fold(0, |all, (event, _)| all | event) & self.events
    }
}

/// The loop that a watcher is attached to, and what is known of it there. Ends the program where this thread may not use it.
///
/// # Safety
/// `io` is NULL, or points at memory that can be read.
unsafe fn attached<'a>(io: Io) -> Option<(&'a EventLoop, Watcher)> {
    if io.is_null() {
        broken("a watcher that is NULL");
    }
    // SAFETY: the caller promises memory; a watcher that says so was made by `li_event_io_init`.
    unsafe {
        let base = &raw const (*io).base;
        if (*base).opaque_type != IO {
            broken("a watcher that was never made");
        }
        let event_loop = (*base).opaque_rest[0].cast_const().cast::<EventLoop>().as_ref()?;
        event_loop.check_thread("a watcher");
        let Some(watcher) = event_loop.watchers.get(io) else { broken("a watcher that was moved or copied") };
        if watcher.events != (*io).opaque_events {
            broken("it changes the events of a watcher by hand");
        }
        if (*base).keep_loop_alive() == 0 {
            broken("a watcher does not keep its loop alive, and is started by hand: lighttpd2 would count wrong");
        }
        if watcher.watched.is_some() && (*base).active() == 0 {
            broken("a watcher is made inactive that watches a descriptor");
        }
        Some((event_loop, watcher))
    }
}

fn check_events(events: c_int) {
    if events & !(READ | WRITE) != 0 {
        broken("a watcher waits for what does not happen to a descriptor");
    }
}

fn is_open(descriptor: RawFd) -> bool {
    // SAFETY: it only asks.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) != -1 }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_event_io_init(
    loop_: *mut sys::liEventLoop,
    event_name: *const c_char,
    io: Io,
    callback: sys::liEventCallback,
    fd: c_int,
    events: c_int,
) {
    let Some(callback) = callback.filter(|_| !io.is_null() && !event_name.is_null()) else {
        broken("a watcher is made of NULL");
    };
    if fd < NONE {
        broken("a watcher is made with a descriptor that is negative");
    }
    check_events(events);
    // SAFETY: the caller promises a worker's loop and room for a watcher.
    unsafe {
        let event_loop = EventLoop::from_abi(loop_);
        event_loop.check_thread("a watcher");
        event_loop.watchers.attach(io, callback, events);
        io.write_bytes(0, 1);
        let base = &mut (*io).base;
        base.opaque_type = IO;
        base.set_keep_loop_alive(1);
        base.opaque_rest[0] = ptr::from_ref(event_loop).cast_mut().cast();
        (*io).opaque_events = events;
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_event_io_set_fd(io: Io, fd: c_int) {
    // SAFETY: the caller promises a watcher.
    unsafe {
        let Some((event_loop, watcher)) = attached(io) else {
            if fd == NONE {
                return;
            }
            broken("a watcher gets a descriptor whose worker is gone");
        };
        let is_active = (*io).base.active() != 0;
        if fd == NONE {
            if is_active && watcher.watched.is_none() {
                broken("a watcher is stopped that is active and has no descriptor");
            }
            (*io).base.set_active(0);
            return event_loop.watchers.watch(io, None);
        }
        if fd < 0 {
            broken("a watcher gets a descriptor that is negative");
        }
        if !is_active {
            broken("a watcher gets a descriptor and is not active: lighttpd2 would not begin to watch it");
        }
        if !is_open(fd) {
            broken("a watcher gets a descriptor that is not open");
        }
        event_loop.watchers.watch(io, Some(fd));
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_event_io_set_events(io: Io, events: c_int) {
    check_events(events);
    // SAFETY: the caller promises a watcher.
    unsafe {
        let Some((event_loop, watcher)) = attached(io) else { broken("a watcher is changed whose worker is gone") };
        if events == watcher.events {
            return;
        }
        (*io).opaque_events = events;
        event_loop.watchers.set_events(io, events);
        match watcher.watched {
            Some(watched) => event_loop.watchers.watch(io, Some(watched.descriptor)),
            None if (*io).base.active() != 0 => broken("a watcher is changed that is active and has no descriptor"),
            None => {}
        }
    }
}
