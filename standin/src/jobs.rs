//! What a worker does as soon as it gets to it.

use crate::state::State;
use lighttpd2::sys;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What waits for a worker.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<VecDeque<(Job, Request)>>);

/// What is to be done for a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// The header of its response is ready.
    Begin,
    /// There is more of its response, or the end.
    GoOn,
}

/// Whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Request(*const State);

// SAFETY: it is an address; what is there is used on the thread of its worker only.
unsafe impl Send for Request {}

impl Jobs {
    /// Something is to be done, unless that waits already.
    pub fn add(&self, job: Job, request: &State) {
        let mut waiting = self.waiting();
        let job = (job, Request(request));
        if !waiting.contains(&job) {
            waiting.push_back(job);
        }
    }

    /// Nothing is to be done for that request.
    pub fn forget(&self, request: &State) {
        self.waiting().retain(|(_, Request(other))| !std::ptr::eq(*other, request));
    }

    /// Whether something waits.
    pub fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Does what waits now. Returns how much that was.
    pub fn run(&self) -> usize {
        let mut count = 0;
        let most = self.waiting().len();
        while count < most {
            let Some((job, Request(request))) = self.waiting().pop_front() else { break };
            // SAFETY: it is forgotten here before it goes.
            let state = unsafe { State::checked(request) };
            match job {
                Job::Begin => state.connect(),
                Job::GoOn if state.out.stage().is_fed => state.out.tell(sys::LI_STREAM_NEW_DATA),
                Job::GoOn => {}
            }
            count += 1;
        }
        count
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Job, Request)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
