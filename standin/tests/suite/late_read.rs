//! A request cannot end while another worker is reading its counters.
//!
//! The page of a counter is made inaccessible. The worker that reads it is then stopped in the middle of the read, by the
//! handler of the fault, until the test lets it go.

use crate::bench::{ask, bench};
use crate::trial;
use libtest_mimic::Trial;
use rustix::mm::{MprotectFlags, mprotect};
use rustix::param::page_size;
use standin::memory::Memory;
use standin::request::{Close, Request};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use testkit::wait;

/// The page whose faults are ours; 0 where there is none.
static PAGE: AtomicUsize = AtomicUsize::new(0);
/// The thread that is stopped when it reads there.
static READER: AtomicI32 = AtomicI32::new(0);
static IS_READING: AtomicBool = AtomicBool::new(false);
static MAY_GO_ON: AtomicBool = AtomicBool::new(false);
static FORMER_HANDLER: OnceLock<libc::sigaction> = OnceLock::new();

/// How long a close that has to wait is watched.
const WATCHED: Duration = Duration::from_millis(300);

pub fn trials() -> Vec<Trial> {
    vec![trial("late_read::a_request_ends_after_whoever_reads_it", a_request_ends_after_whoever_reads_it)]
}

fn a_request_ends_after_whoever_reads_it() {
    handle_faults();
    bench(Memory::Guarded, 2, |bench| {
        let mut request = bench.tracked(b"a");
        request.received.set(5);
        request.set_status(500);
        let page = page_of_received(&request);
        PAGE.store(page.addr(), SeqCst);
        protect(page, MprotectFlags::empty());

        let is_closed = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                READER.store(thread_id(), SeqCst);
                let mut client = Request::new(bench.module, 1);
                ask(&mut client, &bench.show, b"a")
            });
            wait::until("the reader reads", || {
                if IS_READING.load(SeqCst) || reader.is_finished() { Ok(()) } else { Err("it has not come to it") }
            });
            assert!(IS_READING.load(SeqCst), "the counter was not read");
            let watcher = scope.spawn(|| {
                let closed_early = wait::within(WATCHED, "the request is closed", || {
                    if is_closed.load(SeqCst) { Ok(()) } else { Err("it is not") }
                });
                MAY_GO_ON.store(true, SeqCst);
                closed_early
            });
            request.close(Close::Ended);
            is_closed.store(true, SeqCst);
            assert!(
                watcher.join().unwrap().is_err(),
                "it was closed, and its memory released, in the middle of a read"
            );
            let report = reader.join().unwrap();
            let running = r#"{"state": "running", "received": 5, "sent": 0, "request_size": 1000, "response_size": 0}"#;
            assert_eq!(report.as_deref(), Some(running));
        });
        PAGE.store(0, SeqCst);
        assert_eq!(bench.report(b"a"), r#"{"state": "error", "status": 500}"#);
    });
}

fn page_of_received(request: &Request<'_>) -> *mut c_void {
    // SAFETY: a request has a connection with a stream and its queue.
    let word = unsafe { &raw mut (*(*(*request.connection()).info.req).out).bytes_in };
    word.map_addr(|address| address & !(page_size() - 1)).cast()
}

fn protect(page: *mut c_void, flags: MprotectFlags) {
    // SAFETY: it is a page of one guarded object; who uses it meanwhile is stopped by the handler.
    unsafe { mprotect(page, page_size(), flags) }.expect("the page is there");
}

fn thread_id() -> i32 {
    // SAFETY: it has no preconditions.
    unsafe { libc::gettid() }
}

fn handle_faults() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let mut former = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `fault` is a handler of this kind, and does only what a handler may.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = fault as *const () as usize;
        (*action.as_mut_ptr()).sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(libc::SIGSEGV, action.as_ptr(), former.as_mut_ptr()), 0);
        let _ = FORMER_HANDLER.set(former.assume_init());
    }
}

/// Stops the reader. Every other fault is left to the former handler, which the faulting instruction runs into again.
extern "C" fn fault(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system passes it.
    let address = unsafe { (*info).si_addr() };
    let page = PAGE.load(SeqCst);
    if page == 0 || address.addr() & !(page_size() - 1) != page {
        if let Some(former) = FORMER_HANDLER.get() {
            // SAFETY: it was the handler before.
            unsafe { libc::sigaction(libc::SIGSEGV, former, ptr::null_mut()) };
        }
        return;
    }
    if thread_id() == READER.load(SeqCst) {
        IS_READING.store(true, SeqCst);
        while !MAY_GO_ON.load(SeqCst) {
            thread::yield_now();
        }
    }
    protect(address.map_addr(|address| address & !(page_size() - 1)), MprotectFlags::READ | MprotectFlags::WRITE);
}
