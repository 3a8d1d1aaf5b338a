//! A timer for each worker.

use super::guard::guard;
use super::trampolines::report;
use super::{Module, Plugin, Server, sys};
use std::ffi::c_void;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// When a timer is to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// After its usual interval.
    Later,
    /// As soon as lighttpd2 has done something else.
    Soon,
}

/// In seconds: the shortest time that lighttpd2 waits.
const SOON: f64 = 0.05;

const NAME: &std::ffi::CStr = c"a module's timer";

/// The timers of all workers, by their numbers. They stay where they are until all workers are gone.
#[derive(Default)]
pub(super) struct Timers(Mutex<Vec<Option<Pin<Box<Timer>>>>>);

/// A queue of one element, which is pushed again whenever its time has come.
struct Timer {
    queue: sys::liWaitQueue,
    element: sys::liWaitQueueElem,
    plugin: *mut sys::liPlugin,
    server: Server,
    worker: usize,
    is_stopped: bool,
    _pinned: PhantomPinned,
}

// SAFETY: a timer is made, used and stopped on its worker's thread; another thread only frees its memory, when the worker is
// gone.
unsafe impl Send for Timer {}

impl Timers {
    /// Starts the timer of a worker.
    ///
    /// # Safety
    /// To be called in `handle_prepare_worker` of `plugin`, for `worker`. The timers are freed after the workers.
    pub unsafe fn start<M: Module>(&self, server: Server, worker: *mut sys::liWorker, plugin: *mut sys::liPlugin) {
        // SAFETY: the caller promises a worker; zero is what a queue and an element hold before they are used, and a timer
        // that was never started.
        let (number, queue, element) = unsafe { ((*worker).ndx as usize, std::mem::zeroed(), std::mem::zeroed()) };
        let timer = Timer { queue, element, plugin, server, worker: number, is_stopped: false, _pinned: PhantomPinned };
        let mut timer = Box::pin(timer);
        // SAFETY: the timer is not moved; its loop is the calling thread's, and lives until `stop` has detached the queue.
        unsafe {
            let inner = ptr::from_mut(timer.as_mut().get_unchecked_mut());
            let queue = &raw mut (*inner).queue;
            let event_loop = &raw mut (*worker).loop_;
            sys::li_waitqueue_init(queue, event_loop, NAME.as_ptr(), Some(on_timer::<M>), M::INTERVAL, inner.cast());
            sys::glue_waitqueue_set_keep_loop_alive(queue, 0);
            sys::li_waitqueue_push(queue, &raw mut (*inner).element);
        }
        let mut timers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if timers.len() <= number {
            timers.resize_with(number + 1, || None);
        }
        timers[number] = Some(timer);
    }

    /// Stops the timer of a worker, if it runs. lighttpd2 stops some workers twice.
    ///
    /// # Safety
    /// To be called in `handle_worker_stop`, for `worker`.
    pub unsafe fn stop(&self, worker: *mut sys::liWorker) {
        let mut timers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller promises a worker. The timer belongs to the calling thread; stopping moves nothing.
        unsafe {
            let Some(Some(timer)) = timers.get_mut((*worker).ndx as usize) else { return };
            let timer = timer.as_mut().get_unchecked_mut();
            if !std::mem::replace(&mut timer.is_stopped, true) {
                sys::li_waitqueue_stop(&raw mut timer.queue);
            }
        }
    }
}

/// Called by lighttpd2 when a timer's time has come.
unsafe extern "C" fn on_timer<M: Module>(queue: *mut sys::liWaitQueue, timer: *mut c_void) {
    let timer = timer.cast::<Timer>();
    // SAFETY: lighttpd2 passes what `start` gave it, on the worker's thread; the module does not see the timer.
    unsafe {
        let (server, worker) = ((*timer).server, (*timer).worker);
        let plugin = Plugin::<M>::new((*timer).plugin);
        let again = guard(
            || M::tick(plugin, server, worker, server.worker_count()),
            |panic| {
                report::<M>(server.as_ptr(), plugin.module(), M::NAME, panic);
                Again::Later
            },
        );
        sys::li_waitqueue_pop(queue);
        (*queue).delay = if again == Again::Soon { SOON } else { M::INTERVAL };
        sys::li_waitqueue_push(queue, &raw mut (*timer).element);
        sys::li_waitqueue_update(queue);
    }
}
