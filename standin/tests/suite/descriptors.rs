//! The stand-in's watchers of descriptors, used as a module would.

use crate::trial;
use crate::violation::violation;
use crate::waiting::server;
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::server::StandInServer;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::c_int;
use std::io::{Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::thread;

const NOTHING: c_int = 0;
const READ: c_int = sys::LI_EV_READ as c_int;
const WRITE: c_int = sys::LI_EV_WRITE as c_int;
const BOTH: c_int = READ | WRITE;

/// A descriptor that is not open.
const NEVER_OPEN: c_int = 1 << 20;

type Test = fn();

const TESTS: &[(&str, Test)] = &[
    ("are_readable_until_they_are_read", are_readable_until_they_are_read),
    ("are_writable_until_they_are_full", are_writable_until_they_are_full),
    ("wait_for_other_events", wait_for_other_events),
    ("are_all_that_is_asked_for_when_they_hang_up", are_all_that_is_asked_for_when_they_hang_up),
    ("can_be_others", can_be_others),
    ("can_be_stopped_more_than_once", can_be_stopped_more_than_once),
    ("stop_before_their_callback", stop_before_their_callback),
    ("become_others_before_their_callback", become_others_before_their_callback),
    ("are_of_one_worker", are_of_one_worker),
    ("have_watchers_that_go_with_the_worker", have_watchers_that_go_with_the_worker),
];

const VIOLATIONS: &[(&str, &str, Test)] = &[
    ("watched_by_nothing", "a watcher that is NULL", || {
        // SAFETY: the stand-in ends the program.
        unsafe { sys::li_event_io_set_fd(ptr::null_mut(), -1) };
    }),
    ("watched_by_what_was_never_made", "a watcher that was never made", || {
        // SAFETY: it is made of numbers and pointers.
        unsafe { sys::li_event_io_set_fd(&raw mut *Box::new(mem::zeroed()), -1) };
    }),
    ("watched_without_a_callback", "a watcher is made of NULL", || {
        let it = Watching::new(&server(), 0);
        it.make_with(None, -1, NOTHING);
    }),
    ("watched_by_what_was_moved", "a watcher that was moved or copied", moved),
    ("watched_by_what_is_made_again", "where one is that is attached", || {
        Watching::new(&server(), 0).make_with(Some(seen), -1, NOTHING);
    }),
    ("watched_on_another_thread", "a watcher is used on another thread than its worker's", || {
        elsewhere(|io| {
            // SAFETY: the watcher is there.
            unsafe { sys::li_event_io_set_fd(io, -1) };
        });
    }),
    ("changed_on_another_thread", "a watcher is used on another thread than its worker's", || {
        elsewhere(|io| {
            // SAFETY: the watcher is there.
            unsafe { sys::li_event_io_set_events(io, READ) };
        });
    }),
    ("made_with_a_negative_one", "made with a descriptor that is negative", || {
        UnattachedWatching::make(-2, NOTHING);
    }),
    ("made_for_other_events", "waits for what does not happen to a descriptor", || {
        UnattachedWatching::make(-1, 4);
    }),
    ("changed_to_other_events", "waits for what does not happen to a descriptor", || {
        Watching::new(&server(), 0).set_events(4);
    }),
    ("negative", "a watcher gets a descriptor that is negative", || {
        let it = Watching::new(&server(), 0);
        it.base(|base| base.set_active(1));
        it.set_descriptor(-2);
    }),
    ("not_active", "a watcher gets a descriptor and is not active", || {
        let (socket, _peer) = pair();
        Watching::new(&server(), 0).set_descriptor(socket.as_raw_fd());
    }),
    ("not_open", "a watcher gets a descriptor that is not open", || {
        let it = Watching::new(&server(), 0);
        it.base(|base| base.set_active(1));
        it.set_descriptor(NEVER_OPEN);
    }),
    ("closed", "a descriptor is closed while it is watched", || {
        let (socket, _peer) = pair();
        let it = watching(&socket, READ);
        drop(socket);
        it.run();
    }),
    ("stopped_that_never_began", "stopped that is active and has no descriptor", || {
        let it = Watching::new(&server(), 0);
        it.base(|base| base.set_active(1));
        it.set_descriptor(-1);
    }),
    ("changed_that_never_began", "changed that is active and has no descriptor", || {
        let it = Watching::new(&server(), 0);
        it.base(|base| base.set_active(1));
        it.set_events(READ);
    }),
    ("made_inactive_by_hand", "a watcher is made inactive that watches", || {
        let (socket, _peer) = pair();
        let it = watching(&socket, READ);
        it.base(|base| base.set_active(0));
        it.set_events(WRITE);
    }),
    ("changed_by_hand", "it changes the events of a watcher by hand", || {
        let it = Watching::new(&server(), 0);
        // SAFETY: nobody else uses it now.
        unsafe { (*it.io.get()).opaque_events = READ };
        it.set_events(WRITE);
    }),
    ("that_let_the_loop_go", "a watcher does not keep its loop alive", || {
        let (socket, _peer) = pair();
        let it = Watching::new(&server(), 0);
        it.base(|base| base.set_keep_loop_alive(0));
        it.watch(&socket);
    }),
    ("left_at_the_end", "a descriptor is watched when its worker ends", || {
        let (socket, _peer) = pair();
        let it = watching(&socket, NOTHING);
        it.server.free_workers();
    }),
    ("watched_when_the_worker_is_gone", "gets a descriptor whose worker is gone", || {
        let (socket, _peer) = pair();
        let it = Watching::new(&server(), 0);
        it.server.free_workers();
        it.watch(&socket);
    }),
    ("changed_when_the_worker_is_gone", "a watcher is changed whose worker is gone", || {
        let it = Watching::new(&server(), 0);
        it.server.free_workers();
        it.set_events(READ);
    }),
];

pub fn trials() -> Vec<Trial> {
    let tests = TESTS.iter().map(|&(name, test)| trial(format!("descriptors::{name}"), test));
    let violations = VIOLATIONS
        .iter()
        .map(|&(name, reason, test)| violation(format!("descriptors::violations::{name}"), reason, test));
    tests.chain(violations).collect()
}

/// A watcher, and what its callback has seen.
#[repr(C)]
struct Watching {
    io: UnsafeCell<sys::liEventIO>,
    seen: RefCell<Vec<c_int>>,
    /// A watcher that the callback changes, and the descriptor that it gives that.
    changes: Cell<Option<(*const Watching, c_int)>>,
    server: Arc<StandInServer>,
    worker: usize,
}

/// What makes a watcher wrongly.
struct UnattachedWatching;

impl UnattachedWatching {
    fn make(descriptor: c_int, events: c_int) {
        Watching::new_with(&server(), 0, descriptor, events);
    }
}

impl Watching {
    /// A watcher of a worker of `server`, without a descriptor.
    fn new(server: &Arc<StandInServer>, worker: usize) -> Box<Self> {
        Self::new_with(server, worker, -1, NOTHING)
    }

    fn new_with(server: &Arc<StandInServer>, worker: usize, descriptor: c_int, events: c_int) -> Box<Self> {
        let watching = Box::new(Self {
            // SAFETY: it is made of numbers and pointers.
            io: unsafe { mem::zeroed() },
            seen: RefCell::default(),
            changes: Cell::default(),
            server: Arc::clone(server),
            worker,
        });
        watching.make_with(Some(seen), descriptor, events);
        watching
    }

    fn make_with(&self, callback: sys::liEventCallback, descriptor: c_int, events: c_int) {
        // SAFETY: the worker is there, and the watcher stays where it is until that is gone.
        unsafe {
            let event_loop = &raw mut (*self.server.worker(self.worker)).loop_;
            sys::li_event_io_init(event_loop, c"watching".as_ptr(), self.io.get(), callback, descriptor, events);
        }
    }

    fn set_descriptor(&self, descriptor: c_int) {
        // SAFETY: it stays where it is.
        unsafe { sys::li_event_io_set_fd(self.io.get(), descriptor) };
    }

    fn set_events(&self, events: c_int) {
        // SAFETY: as in `set_descriptor`.
        unsafe { sys::li_event_io_set_events(self.io.get(), events) };
    }

    /// Begins to watch, as the module does.
    fn watch(&self, socket: &UnixStream) {
        self.base(|base| base.set_active(1));
        self.set_descriptor(socket.as_raw_fd());
    }

    fn base<R>(&self, look: impl FnOnce(&mut sys::liEventBase) -> R) -> R {
        // SAFETY: nobody else uses it now.
        look(unsafe { &mut (*self.io.get()).base })
    }

    fn is_active(&self) -> bool {
        self.base(|base| base.active() == 1)
    }

    fn run(&self) -> usize {
        self.server.event_loop(self.worker).run_ready()
    }

    /// Checks what the callback sees now.
    #[track_caller]
    fn expect(&self, events: &[c_int]) {
        self.run();
        assert_eq!(self.seen.take(), events);
    }
}

/// # Safety
/// It is the callback of such a watcher.
unsafe extern "C" fn seen(base: *mut sys::liEventBase, events: c_int) {
    // SAFETY: it is the beginning of a watcher, which is not used by others while callbacks run.
    let watching = unsafe { &*base.cast::<Watching>() };
    watching.seen.borrow_mut().push(events);
    if let Some((other, descriptor)) = watching.changes.get() {
        // SAFETY: the test keeps both.
        unsafe { (*other).set_descriptor(descriptor) };
    }
}

fn pair() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    for socket in [&one, &other] {
        socket.set_nonblocking(true).unwrap();
    }
    (one, other)
}

/// A watcher of this socket.
fn watching(socket: &UnixStream, events: c_int) -> Box<Watching> {
    let watching = Watching::new(&server(), 0);
    watching.set_events(events);
    watching.watch(socket);
    watching
}

fn read(mut socket: &UnixStream) {
    let mut bytes = [0; 64];
    assert!(socket.read(&mut bytes).unwrap() > 0);
}

fn write(mut socket: &UnixStream) {
    assert_eq!(socket.write(b"x").unwrap(), 1);
}

fn fill(mut socket: &UnixStream) {
    while socket.write(&[0; 4096]).is_ok() {}
}

fn drain(mut socket: &UnixStream) {
    while socket.read(&mut [0; 4096]).is_ok() {}
}

fn are_readable_until_they_are_read() {
    let (socket, peer) = pair();
    let it = watching(&socket, READ);
    assert!(it.is_active());
    it.expect(&[]);
    write(&peer);
    it.expect(&[READ]);
    it.expect(&[READ]);
    read(&socket);
    it.expect(&[]);
    it.set_descriptor(-1);
}

fn are_writable_until_they_are_full() {
    let (socket, peer) = pair();
    let it = watching(&socket, WRITE);
    write(&peer);
    it.expect(&[WRITE]);
    fill(&socket);
    it.expect(&[]);
    drain(&peer);
    it.expect(&[WRITE]);
    it.set_descriptor(-1);
}

fn wait_for_other_events() {
    let (socket, peer) = pair();
    let it = watching(&socket, NOTHING);
    write(&peer);
    for events in [NOTHING, READ, WRITE, BOTH, BOTH, NOTHING] {
        it.set_events(events);
        it.expect(&[events][..usize::from(events != NOTHING)]);
        assert!(it.is_active());
    }
    it.set_descriptor(-1);
    it.set_events(BOTH);
    it.expect(&[]);
    it.watch(&socket);
    it.expect(&[BOTH]);
    it.set_descriptor(-1);
}

fn are_all_that_is_asked_for_when_they_hang_up() {
    let (socket, peer) = pair();
    let it = watching(&socket, NOTHING);
    fill(&socket);
    drop(peer);
    for events in [NOTHING, READ, WRITE, BOTH] {
        it.set_events(events);
        it.expect(&[events][..usize::from(events != NOTHING)]);
    }
    it.set_descriptor(-1);
}

fn can_be_others() {
    let ((socket, peer), (other, other_peer)) = (pair(), pair());
    let it = watching(&socket, READ);
    write(&peer);
    it.set_descriptor(other.as_raw_fd());
    it.expect(&[]);
    write(&other_peer);
    it.expect(&[READ]);
    // What is not watched any more can be closed.
    drop(socket);
    read(&other);
    it.expect(&[]);
    it.set_descriptor(-1);
}

fn can_be_stopped_more_than_once() {
    let (socket, peer) = pair();
    let it = Watching::new(&server(), 0);
    it.set_descriptor(-1);
    it.set_events(READ);
    it.watch(&socket);
    write(&peer);
    it.set_descriptor(-1);
    assert!(!it.is_active());
    it.expect(&[]);
    it.set_descriptor(-1);
    it.watch(&socket);
    it.expect(&[READ]);
    it.set_descriptor(-1);
    drop(socket);
    it.expect(&[]);
}

/// Two watchers of sockets that are readable, the first of which gives the second that descriptor.
fn one_changes_the_other(descriptor: c_int) -> [Vec<c_int>; 2] {
    let server = server();
    let (socket, peer) = pair();
    let watchers = [0, 0].map(|worker| Watching::new(&server, worker));
    for watcher in &watchers {
        watcher.set_events(READ);
        watcher.watch(&socket);
    }
    watchers[0].changes.set(Some((&raw const *watchers[1], descriptor)));
    write(&peer);
    assert_eq!(watchers[0].run(), 1);
    for watcher in &watchers {
        watcher.set_descriptor(-1);
    }
    watchers.each_ref().map(|watcher| watcher.seen.take())
}

fn stop_before_their_callback() {
    assert_eq!(one_changes_the_other(-1), [vec![READ], vec![]]);
}

/// As in lighttpd2, what was noticed before they were changed is forgotten.
fn become_others_before_their_callback() {
    let (socket, peer) = pair();
    write(&peer);
    assert_eq!(one_changes_the_other(socket.into_raw_fd()), [vec![READ], vec![]]);
}

fn are_of_one_worker() {
    let server = server();
    let ((socket, peer), (other, other_peer)) = (pair(), pair());
    let watchers = [0, 1].map(|worker| Watching::new(&server, worker));
    for (watcher, socket) in watchers.iter().zip([&socket, &other]) {
        watcher.set_events(READ);
        watcher.watch(socket);
    }
    write(&peer);
    write(&other_peer);
    assert_eq!(watchers[0].run(), 1);
    assert_eq!(watchers.each_ref().map(|watcher| watcher.seen.take()), [vec![READ], vec![]]);
    assert_eq!(watchers[1].run(), 1);
    assert_eq!(watchers.each_ref().map(|watcher| watcher.seen.take()), [vec![], vec![READ]]);
    watchers.iter().for_each(|watcher| watcher.set_descriptor(-1));
    server.free_workers();
}

fn have_watchers_that_go_with_the_worker() {
    let it = Watching::new(&server(), 0);
    it.server.free_workers();
    it.set_descriptor(-1);
    assert!(!it.is_active());
}

fn moved() {
    let it = Watching::new(&server(), 0);
    // SAFETY: the watcher is there, though it was made elsewhere.
    unsafe {
        let mut io = *it.io.get();
        sys::li_event_io_set_fd(&raw mut io, -1);
    }
}

fn elsewhere(test: fn(*mut sys::liEventIO)) {
    let it = Watching::new(&server(), 0);
    let address = AtomicPtr::new(it.io.get());
    thread::scope(|scope| scope.spawn(move || test(address.into_inner())).join().unwrap());
}
