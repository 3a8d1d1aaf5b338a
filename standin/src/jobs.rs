//! What a worker does as soon as it gets to it: lighttpd2's own jobs, and the module's.

use crate::event_loop::EventLoop;
use crate::exports::broken;
use crate::memory::Object;
use crate::server::{StandInServer, server_of};
use crate::state::State;
use lighttpd2::sys;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::mem::offset_of;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What tells a job from other memory.
const MARK: usize = 0x6a6f_626a_6f62_6a6f;

/// All references to jobs of the module's, by their addresses.
static REFERENCES: Mutex<BTreeMap<usize, Reference>> = Mutex::new(BTreeMap::new());

/// What the module knows as one reference, however often it has it.
struct Reference {
    job: Address,
    /// How often the module has it.
    count: usize,
    server: *const StandInServer,
    event_loop: *const EventLoop,
    _memory: Object<usize>,
}

// SAFETY: its server and its loop are there longer, and can be used on any thread.
unsafe impl Send for Reference {}

/// Where a job of the module's is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Address(*mut sys::liJob);

// SAFETY: what is there is used on the thread of its worker only.
unsafe impl Send for Address {}

/// What waits for a worker.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// The references by which jobs were asked for, from any thread.
    asked: VecDeque<usize>,
    /// Grows as the worker gets to it: a job is not done twice meanwhile.
    generation: sys::guint,
    is_gone: bool,
    /// Wakes the worker.
    bell: Option<UnixStream>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    /// The header of a request's response is ready.
    Begin(Request),
    /// There is more of a request's response, or the end.
    GoOn(Request),
    /// An action in which a request waits is performed again.
    Perform(Request),
    /// The module's.
    Modules(Address),
}

/// Whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Request(*const State);

// SAFETY: as for `Address`.
unsafe impl Send for Request {}

fn references() -> MutexGuard<'static, BTreeMap<usize, Reference>> {
    REFERENCES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    /// The header of the request's response is ready.
    pub fn begin(&self, request: &State) {
        self.queue().add(Job::Begin(Request(request)));
    }

    /// There is more of the request's response, or the end.
    pub fn go_on(&self, request: &State) {
        self.queue().add(Job::GoOn(Request(request)));
    }

    /// The action in which the request waits is performed again.
    pub fn perform(&self, request: &State) {
        self.queue().add(Job::Perform(Request(request)));
    }

    /// Nothing is to be done for that request.
    pub fn forget(&self, request: &State) {
        let jobs = [Job::Begin, Job::GoOn, Job::Perform].map(|job| job(Request(request)));
        self.queue().waiting.retain(|job| !jobs.contains(job));
    }

    /// From now on this wakes the worker.
    pub fn set_bell(&self, bell: UnixStream) {
        self.queue().bell = Some(bell);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        let queue = self.queue();
        queue.waiting.is_empty() && queue.asked.is_empty()
    }

    /// Does what other threads have asked for. As in lighttpd2, what was asked for more than once is done at once and once
    /// more in the next round. Returns how much was done.
    pub fn run_asked(&self) -> usize {
        let mut count = 0;
        loop {
            let Some(reference) = self.queue().asked.pop_front() else { return count };
            let Some(job) = references().get(&reference).map(|found| found.job) else { continue };
            let generation = self.queue().generation;
            // SAFETY: a job with a reference is there, and it is this thread's.
            if unsafe { (*job.0).opaque_generation } == generation {
                self.queue().add(Job::Modules(job));
            } else {
                self.queue().waiting.retain(|other| *other != Job::Modules(job));
                self.run_job(job, generation);
                count += 1;
            }
        }
    }

    /// Does what waits now. Returns how much that was.
    pub fn run(&self) -> usize {
        let mut count = 0;
        let (most, generation) = self.queue().next_round();
        while count < most {
            let Some(job) = self.queue().waiting.pop_front() else { break };
            match job {
                Job::Modules(job) => self.run_job(job, generation),
                Job::Begin(Request(request)) => state_of(request).connect(),
                Job::Perform(Request(request)) => state_of(request).make_due(),
                Job::GoOn(Request(request)) => {
                    let out = &state_of(request).out;
                    if out.stage().is_fed {
                        out.tell(sys::LI_STREAM_NEW_DATA);
                    }
                }
            }
            count += 1;
        }
        count
    }

    /// Nothing can be asked for any more.
    pub fn close(&self) {
        self.queue().is_gone = true;
    }

    fn run_job(&self, Address(job): Address, generation: sys::guint) {
        // SAFETY: a job with a reference is there, and it is this thread's; it may be cleared by its callback.
        unsafe {
            (*job).opaque_generation = generation;
            let Some(callback) = (*job).opaque_callback else { broken("a job without a callback") };
            callback(job);
        }
    }

    fn ask(&self, reference: usize) {
        let mut queue = self.queue();
        if queue.is_gone {
            broken("a job is asked for when its worker is gone");
        }
        let is_first = queue.asked.is_empty();
        queue.asked.push_back(reference);
        if let Some(mut bell) = queue.bell.as_ref().filter(|_| is_first) {
            // A worker that has ended is not to be woken.
            let _ = bell.write(&[1]);
        }
    }

    fn forget_job(&self, job: Address, reference: usize) {
        let mut queue = self.queue();
        queue.waiting.retain(|other| *other != Job::Modules(job));
        queue.asked.retain(|other| *other != reference);
    }

    fn is_gone(&self) -> bool {
        self.queue().is_gone
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Unless it waits already.
    fn add(&mut self, job: Job) {
        if !self.waiting.contains(&job) {
            self.waiting.push_back(job);
        }
    }

    fn next_round(&mut self) -> (usize, sys::guint) {
        // A job that was never done is of generation 0.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        (self.waiting.len(), self.generation)
    }
}

fn state_of<'a>(request: *const State) -> &'a State {
    // SAFETY: it is forgotten by its worker's jobs before it goes.
    unsafe { State::checked(request) }
}

/// Ends the program where a job of the server's is left.
pub(crate) fn check_end(server: &StandInServer) {
    match references().values().find(|reference| ptr::eq(reference.server, server)) {
        Some(reference) if reference.count > 0 => broken("a reference to a job is left when its server is gone"),
        Some(_) => broken("a job is not cleared when its server is gone"),
        None => {}
    }
}

/// A job's reference, where it has one.
///
/// # Safety
/// `job` is a job, or other memory that can be read.
unsafe fn reference_of(job: *mut sys::liJob) -> usize {
    if job.is_null() {
        broken("a job that is NULL");
    }
    // SAFETY: the caller promises memory.
    unsafe { (*job).opaque_ref.addr() }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_job_init(job: *mut sys::liJob, callback: sys::liJobCB) {
    if job.is_null() || callback.is_none() {
        broken("a job is made of NULL");
    }
    if references().values().any(|reference| reference.job == Address(job)) {
        broken("a job is made where one is that was not cleared");
    }
    // SAFETY: the caller promises room for a job.
    unsafe {
        job.write(sys::liJob {
            opaque_generation: 0,
            opaque_link: [ptr::without_provenance_mut(MARK), ptr::null_mut(), ptr::null_mut()],
            opaque_callback: callback,
            opaque_ref: ptr::null_mut(),
        });
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_job_clear(job: *mut sys::liJob) {
    // SAFETY: the caller promises a job.
    let reference = unsafe { reference_of(job) };
    if reference != 0 {
        let mut references = references();
        match references.get(&reference) {
            Some(found) if found.job == Address(job) => {
                // SAFETY: the loop is there longer than the module.
                let event_loop = unsafe { &*found.event_loop };
                if !event_loop.is_own() && !event_loop.jobs.is_gone() {
                    broken("a job is cleared on another thread than its worker's");
                }
                if found.count > 0 {
                    broken("a job is cleared while there are references to it");
                }
                event_loop.jobs.forget_job(found.job, reference);
            }
            _ => broken("a job is cleared that was moved, copied or never made"),
        }
        references.remove(&reference);
    }
    // SAFETY: the caller promises a job.
    unsafe { job.write_bytes(0, 1) };
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_job_ref(jq: *mut sys::liJobQueue, job: *mut sys::liJob) -> *mut sys::liJobRef {
    if jq.is_null() {
        broken("a queue of jobs that is NULL");
    }
    // SAFETY: the caller promises the queue of a worker's loop, and a job.
    unsafe {
        let of_worker = jq.byte_sub(offset_of!(sys::liEventLoop, jobqueue)).cast::<sys::liEventLoop>();
        let event_loop = EventLoop::from_abi(of_worker);
        if !event_loop.is_own() {
            broken("a reference to a job is taken on another thread than its worker's");
        }
        let former = reference_of(job);
        if (*job).opaque_link[0].addr() != MARK {
            broken("a reference is taken to a job that was never made, or was cleared");
        }
        let mut references = references();
        if former == 0 {
            let server = server_of(of_worker);
            let memory = Object::<usize>::unset(&server.heap);
            let address = memory.as_ptr();
            let reference = Reference { job: Address(job), count: 1, server, event_loop, _memory: memory };
            references.insert(address.addr(), reference);
            (*job).opaque_ref = address.cast();
        } else {
            match references.get_mut(&former) {
                Some(found) if found.job == Address(job) && ptr::eq(found.event_loop, event_loop) => found.count += 1,
                _ => broken("a reference is taken to a job that was moved or copied, or is another worker's"),
            }
        }
        (*job).opaque_ref
    }
}

/// The reference that the module knows by this, if it still has it.
fn given(jobref: *mut sys::liJobRef, use_it: impl FnOnce(&mut Reference)) {
    match references().get_mut(&jobref.addr()) {
        Some(reference) if reference.count > 0 => use_it(reference),
        _ => broken("a reference to a job is used that was released or never taken"),
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_job_ref_release(jobref: *mut sys::liJobRef) {
    given(jobref, |reference| reference.count -= 1);
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_job_async(jobref: *mut sys::liJobRef) {
    given(jobref, |reference| {
        // SAFETY: the loop is there longer than the module.
        unsafe { &*reference.event_loop }.jobs.ask(jobref.addr());
    });
}
