//! lighttpd2's waitqueues: lists of what waits for the same time, and a timer for the first of it.

use crate::event_loop::EventLoop;
use crate::exports::broken;
use lighttpd2::sys;
use std::ffi::c_char;
use std::ptr;

/// `LI_EVT_NONE`: of a queue that is stopped.
const NONE: i32 = 0;
/// `LI_EVT_TIMER`.
const TIMER: i32 = 2;

/// A timer is not set anew for a sooner time than this, in seconds.
const SOONEST: f64 = 0.05;
/// What lighttpd2 makes of a delay of none, in seconds.
const AT_ONCE: f64 = 0.0001;

type Queue = *mut sys::liWaitQueue;
type Elem = *mut sys::liWaitQueueElem;

/// The loop that a queue is attached to. Ends the program where this thread may not use the queue.
///
/// # Safety
/// `queue` is NULL, or points at memory that can be read.
unsafe fn loop_of<'a>(queue: Queue) -> Option<&'a EventLoop> {
    if queue.is_null() {
        broken("a waitqueue that is NULL");
    }
    // SAFETY: the caller promises memory; a timer that says so was made by `li_waitqueue_init`.
    unsafe {
        let base = &raw const (*queue).timer.base;
        match (*base).opaque_type {
            NONE => return None,
            TIMER => {}
            _ => broken("a waitqueue that was never made"),
        }
        let event_loop = &*(*base).opaque_rest[0].cast_const().cast::<EventLoop>();
        event_loop.check(queue, (*base).active() != 0, (*base).keep_loop_alive() != 0);
        Some(event_loop)
    }
}

/// The same, of a queue that has to be attached.
///
/// # Safety
/// As for `loop_of`.
unsafe fn attached<'a>(queue: Queue) -> &'a EventLoop {
    // SAFETY: the caller promises it.
    unsafe { loop_of(queue) }.unwrap_or_else(|| broken("a waitqueue is used that is stopped or was never made"))
}

/// Starts the timer of an attached queue, or stops it.
///
/// # Safety
/// `queue` is attached to `event_loop`, which is this thread's.
unsafe fn set_timer(event_loop: &EventLoop, queue: Queue, seconds: Option<f64>) {
    // SAFETY: the caller promises a queue.
    unsafe {
        let base = &mut (*queue).timer.base;
        base.set_active(seconds.is_some().into());
        let seconds = seconds.map(|seconds| if seconds > 0.0 { seconds } else { AT_ONCE });
        event_loop.set_timer(queue, seconds, base.keep_loop_alive() != 0);
    }
}

/// The timer of an attached queue is due: calls its callback.
///
/// # Safety
/// `queue` is attached to `event_loop`, which is this thread's.
pub(crate) unsafe fn run(event_loop: &EventLoop, queue: Queue) {
    // SAFETY: the caller promises a queue. The callback is one for it; it may stop the queue and release its memory.
    unsafe {
        let _ = attached(queue);
        set_timer(event_loop, queue, None);
        let Some(callback) = (*queue).callback else { broken("a waitqueue without a callback") };
        callback(queue, (*queue).data);
        if event_loop.is_at_rest(queue) && !(*queue).head.is_null() {
            broken("a timer's callback leaves something in its waitqueue and does not update it");
        }
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_waitqueue_init(
    queue: Queue,
    loop_: *mut sys::liEventLoop,
    waitqueue_name: *const c_char,
    callback: sys::liWaitQueueCB,
    delay: sys::gdouble,
    data: sys::gpointer,
) {
    if queue.is_null() || waitqueue_name.is_null() || callback.is_none() {
        broken("a waitqueue is made of NULL");
    }
    if !delay.is_finite() || delay < 0.0 {
        broken("a waitqueue is made with a delay that is none");
    }
    // SAFETY: the caller promises a worker's loop and room for a queue.
    unsafe {
        let event_loop = EventLoop::from_abi(loop_);
        event_loop.attach(queue);
        (&raw mut (*queue).timer).write_bytes(0, 1);
        let base = &mut (*queue).timer.base;
        base.opaque_type = TIMER;
        base.set_keep_loop_alive(1);
        base.opaque_rest[0] = ptr::from_ref(event_loop).cast_mut().cast();
        (*queue).head = ptr::null_mut();
        (*queue).tail = ptr::null_mut();
        (*queue).delay = delay;
        (*queue).callback = callback;
        (*queue).data = data;
        (*queue).length = 0;
    }
}

/// What is in the queue stays there.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_waitqueue_stop(queue: Queue) {
    // SAFETY: the caller promises a queue, or a zeroed one.
    unsafe {
        let Some(event_loop) = loop_of(queue) else { return };
        event_loop.detach(queue);
        let base = &mut (*queue).timer.base;
        base.set_active(0);
        base.opaque_type = NONE;
        base.opaque_rest[0] = ptr::null_mut();
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_waitqueue_update(queue: Queue) {
    // SAFETY: the caller promises a queue whose elements are there.
    unsafe {
        let event_loop = attached(queue);
        let head = (*queue).head.as_ref();
        let seconds = head.map(|head| (head.ts + (*queue).delay - event_loop.now()).max(SOONEST));
        set_timer(event_loop, queue, seconds);
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_waitqueue_push(queue: Queue, elem: Elem) {
    // SAFETY: the caller promises a queue whose elements are there, and an element of this queue or of none.
    unsafe {
        let event_loop = attached(queue);
        if elem.is_null() {
            broken("an element that is NULL comes into a waitqueue");
        }
        (*elem).ts = event_loop.now();
        match (*elem).queued {
            0 => (*queue).length += 1,
            1 if !is_inside(queue, elem) => broken("an element of another waitqueue, or one that was moved or copied"),
            1 if elem == (*queue).tail => return,
            1 => take_out(queue, elem),
            _ => broken("an element that neither is in a waitqueue nor is not"),
        }
        (*elem).queued = 1;
        (*elem).prev = (*queue).tail;
        (*elem).next = ptr::null_mut();
        match (*queue).tail.as_mut() {
            Some(tail) => tail.next = elem,
            None => (*queue).head = elem,
        }
        (*queue).tail = elem;
        if (*queue).timer.base.active() == 0 {
            set_timer(event_loop, queue, Some((*queue).delay));
        }
    }
}

/// NULL where nothing has waited long enough.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_waitqueue_pop(queue: Queue) -> Elem {
    // SAFETY: the caller promises a queue whose elements are there.
    unsafe {
        let event_loop = attached(queue);
        let elem = (*queue).head;
        if elem.is_null() || (*elem).ts + (*queue).delay > event_loop.now() {
            return ptr::null_mut();
        }
        if !is_inside(queue, elem) {
            broken("a waitqueue's first element was moved, copied or changed");
        }
        take_out(queue, elem);
        (*queue).length -= 1;
        (*elem).ts = 0.0;
        (*elem).queued = 0;
        elem
    }
}

/// Whether the neighbours of an element know it.
///
/// # Safety
/// The elements of `queue` are there, and `elem` says that it is in a queue.
unsafe fn is_inside(queue: Queue, elem: Elem) -> bool {
    // SAFETY: the caller promises it.
    unsafe {
        let before =
            if elem == (*queue).head { elem } else { (*elem).prev.as_ref().map_or(ptr::null_mut(), |it| it.next) };
        let after =
            if elem == (*queue).tail { elem } else { (*elem).next.as_ref().map_or(ptr::null_mut(), |it| it.prev) };
        (*elem).queued == 1 && before == elem && after == elem
    }
}

/// Makes the neighbours of an element each other's.
///
/// # Safety
/// The elements of `queue` are there, and `elem` is one of them.
unsafe fn take_out(queue: Queue, elem: Elem) {
    // SAFETY: the caller promises it.
    unsafe {
        let (prev, next) = ((*elem).prev, (*elem).next);
        if elem == (*queue).head {
            (*queue).head = next;
        } else {
            (*prev).next = next;
        }
        if elem == (*queue).tail {
            (*queue).tail = prev;
        } else {
            (*next).prev = prev;
        }
    }
}
