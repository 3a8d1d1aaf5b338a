//! What a module has at each worker: state of its own, responses that go on, requests that wait, and ways to be called.

use super::guard::guard;
use super::trampolines::report;
use super::waits::{Wait, Waits};
use super::wire::Wire;
use super::{Module, Plugin, Server, VRequest, sys};
use std::cell::{Cell, RefCell, RefMut, UnsafeCell};
use std::ffi::c_void;
use std::marker::PhantomPinned;
use std::mem::{self, offset_of};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// In seconds: the shortest time after which lighttpd2 calls a timer again.
const BEAT: f64 = 0.05;

const NAME: &std::ffi::CStr = c"a module's beat";

thread_local! {
    static MARK: u8 = const { 0 };
}

/// A thread that lives: the address of a place that it alone has.
#[derive(PartialEq, Eq)]
struct Thread(usize);

impl Thread {
    fn here() -> Self {
        Self(MARK.with(|mark| ptr::from_ref(mark).addr()))
    }
}

/// The desks of all workers, by their numbers. They stay where they are until all workers are gone.
pub(super) struct Desks<M: Module>(RwLock<Vec<Option<PinnedDesk<M>>>>);

type PinnedDesk<M> = Pin<Box<Inner<M>>>;

/// What a module has at the worker that calls it.
pub struct Desk<'a, M: Module>(&'a Inner<M>);

impl<M: Module> Clone for Desk<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Module> Copy for Desk<'_, M> {}

/// A response that goes on, by its place among those of a desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outlet(u32);

/// Bytes that many responses can be sent, without a copy for each of them.
pub struct Bytes(NonNull<sys::liBuffer>);

impl Bytes {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        // lighttpd2 never frees a buffer without any.
        let room = bytes.len().max(1);
        // SAFETY: lighttpd2 returns a buffer with room for as many, which nobody else has yet; where it has no memory it ends.
        unsafe {
            let buffer = NonNull::new_unchecked(sys::li_buffer_new_slice(room as sys::gsize));
            ptr::copy_nonoverlapping(bytes.as_ptr(), (*buffer.as_ptr()).addr.cast(), bytes.len());
            (*buffer.as_ptr()).used = bytes.len() as sys::gsize;
            Self(buffer)
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: this is the reference that `new` was given; the count of them is atomic.
        unsafe { sys::li_buffer_release(self.0.as_ptr()) };
    }
}

struct Inner<M: Module> {
    /// Where it may be used. Its memory is freed elsewhere, when that thread is gone.
    owner: Thread,
    number: usize,
    server: Server,
    plugin: *mut sys::liPlugin,
    job: UnsafeCell<sys::liJob>,
    /// Stands for the job on other threads; NULL once the worker stops. Changed under the lock of [`Desks`].
    job_reference: AtomicPtr<sys::liJobRef>,
    queue: UnsafeCell<sys::liWaitQueue>,
    element: UnsafeCell<sys::liWaitQueueElem>,
    /// Whether the last beat has panicked.
    has_failed: Cell<bool>,
    sources: RefCell<Sources<M>>,
    waits: Waits,
    wire: Wire,
    local: RefCell<M::Local>,
    _pinned: PhantomPinned,
}

// SAFETY: a desk is made and used on its worker's thread, as `Desks::at` sees to. What other threads use of it is the reference of
// its job, under the lock of `Desks`, and its memory, when the worker is gone.
unsafe impl<M: Module> Send for Inner<M> {}
// SAFETY: as above.
unsafe impl<M: Module> Sync for Inner<M> {}

/// What gives responses, by the places that outlets have.
struct Sources<M: Module> {
    places: Vec<*mut Source<M>>,
    free: Vec<u32>,
}

/// What gives a response that goes on. lighttpd2 knows it by the stream at its beginning.
#[repr(C)]
struct Source<M: Module> {
    stream: sys::liStream,
    desk: *const Inner<M>,
    /// `None` once the module has closed it, or was told that it is gone.
    outlet: Cell<Option<Outlet>>,
}

impl<M: Module> Default for Desks<M> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<M: Module> Desks<M> {
    /// Sets a worker's desk up.
    ///
    /// # Safety
    /// To be called in `handle_prepare_worker` of `plugin`, for `worker`. The desks are freed after the workers.
    pub unsafe fn set_up(&self, server: Server, worker: *mut sys::liWorker, plugin: *mut sys::liPlugin) {
        // SAFETY: the caller promises a worker; zero is what these hold before they are used.
        let (number, job, queue, element) =
            unsafe { ((*worker).ndx as usize, mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let desk = Box::pin(Inner {
            owner: Thread::here(),
            number,
            server,
            plugin,
            job,
            job_reference: AtomicPtr::default(),
            queue,
            element,
            has_failed: Cell::new(false),
            sources: RefCell::new(Sources { places: Vec::new(), free: Vec::new() }),
            waits: Waits::default(),
            wire: Wire::default(),
            local: RefCell::default(),
            _pinned: PhantomPinned,
        });
        // SAFETY: the desk is not moved; its loop is the calling thread's, and lives until `clear` has let it go.
        unsafe {
            let event_loop = &raw mut (*worker).loop_;
            sys::li_job_init(desk.job.get(), Some(on_job::<M>));
            let reference = sys::li_job_ref(&raw mut (*event_loop).jobqueue, desk.job.get());
            desk.job_reference.store(reference, Relaxed);
            let (queue, data) = (desk.queue.get(), ptr::from_ref(&*desk).cast_mut().cast());
            sys::li_waitqueue_init(queue, event_loop, NAME.as_ptr(), Some(on_beat::<M>), BEAT, data);
            sys::glue_waitqueue_set_keep_loop_alive(queue, 0);
            desk.wire.set_up(event_loop, Some(on_ready::<M>));
        }
        let mut desks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if desks.len() <= number {
            desks.resize_with(number + 1, || None);
        }
        desks[number] = Some(desk);
    }

    /// Lets a worker's loop go, if that was not done yet: lighttpd2 stops some workers twice. Nothing is called at the desk any
    /// more.
    ///
    /// # Safety
    /// To be called in `handle_worker_stop`, for `worker`.
    pub unsafe fn clear(&self, worker: *mut sys::liWorker) {
        let desks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller promises a worker. The desk belongs to the calling thread.
        unsafe {
            let Some(Some(desk)) = desks.get((*worker).ndx as usize) else { return };
            let reference = desk.job_reference.swap(ptr::null_mut(), Relaxed);
            if !reference.is_null() {
                sys::li_job_ref_release(reference);
                sys::li_job_clear(desk.job.get());
                sys::li_waitqueue_stop(desk.queue.get());
                desk.wire.unwatch();
            }
        }
    }

    /// Has the module [woken](Module::woken) at a worker, from any thread. Does nothing where the worker has stopped.
    pub fn wake(&self, number: usize) {
        let desks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(desk)) = desks.get(number) {
            let reference = desk.job_reference.load(Relaxed);
            if !reference.is_null() {
                // SAFETY: the worker's queue is there, since `clear`, which comes before it goes, needs the lock that is held.
                unsafe { sys::li_job_async(reference) };
            }
        }
    }

    /// How many desks there are.
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The desk of a worker, if it is the calling thread's.
    pub fn at(&self, number: usize) -> Option<Desk<'_, M>> {
        let desks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let desk: *const Inner<M> = &**desks.get(number)?.as_ref()?;
        // SAFETY: a desk stays where it is until all of them are dropped.
        let desk = unsafe { &*desk };
        desk.is_here().then_some(Desk(desk))
    }
}

impl<M: Module> Inner<M> {
    fn is_here(&self) -> bool {
        self.owner == Thread::here() && !self.job_reference.load(Relaxed).is_null()
    }
}

impl<'a, M: Module> Desk<'a, M> {
    /// The number of its worker.
    pub fn number(self) -> usize {
        self.0.number
    }

    /// Its server, which has a log.
    pub fn server(self) -> Server {
        self.0.server
    }

    /// The module's own state there. It is not to be kept while anything of lighttpd2 is called but what is here.
    pub fn local(self) -> RefMut<'a, M::Local> {
        self.0.local.borrow_mut()
    }

    /// Lets the module [beat](Module::beat) from now on, until it has enough.
    pub fn start_beating(self) {
        let (queue, element) = (self.0.queue.get(), self.0.element.get());
        // SAFETY: `Desks::at` has seen that this is the worker's thread and that its loop is there.
        unsafe {
            if (*element).queued == 0 {
                sys::li_waitqueue_push(queue, element);
                sys::li_waitqueue_update(queue);
            }
        }
    }

    /// What a request can wait for from now on: see [`Performed::Waits`](super::Performed::Waits).
    pub fn make_wait(self) -> Wait {
        self.0.waits.make()
    }

    /// Has the action performed again in which a request waits for this, if one does.
    pub fn end_wait(self, wait: Wait) {
        if let Some(vr) = self.0.waits.request(wait) {
            // SAFETY: it has not been reset, since it waits, and is this worker's; that it is performed comes later.
            unsafe { sys::li_vrequest_joblist_append(vr) };
        }
    }

    /// The module has panicked, and nobody else may end what requests wait for.
    fn failed(self, panic: &str) {
        // SAFETY: a desk has its plugin.
        let plugin = unsafe { Plugin::<M>::new(self.0.plugin) };
        report::<M>(self.0.server.as_ptr(), plugin.module(), M::NAME, panic);
        self.0.waits.all().into_iter().for_each(|wait| self.end_wait(wait));
    }

    pub(super) fn waits(self) -> &'a Waits {
        &self.0.waits
    }

    /// Has the module told when this socket is [ready](Module::ready): when there is something to read, and, if `writes`, room to
    /// write. There is one at a time.
    pub fn watch(self, socket: &Arc<OwnedFd>, writes: bool) {
        if self.0.is_here() {
            // SAFETY: `set_up` has got it ready; this is its thread, and `clear` has not been called, so that the loop is there.
            unsafe { self.0.wire.watch(socket, writes) };
        }
    }

    /// Waits for no socket any more.
    pub fn unwatch(self) {
        if self.0.is_here() {
            // SAFETY: as in `watch`.
            unsafe { self.0.wire.unwatch() };
        }
    }

    /// Answers a request of this worker's with what is [sent](Self::send) from now on; the connection ends with it. `None` where
    /// something answers it already, or it has no connection.
    pub fn respond(self, vr: VRequest<'_>, status: i32) -> Option<Outlet> {
        if !vr.has_connection() {
            return None;
        }
        let vr = vr.as_ptr();
        // SAFETY: a view of a request is of a live one on its worker's thread, which is this one, as `VRequest::desk` has seen.
        // lighttpd2 takes references of its own to both streams. A source begins with its stream, which `li_stream_init` makes
        // one, and is freed by `source_event` when nobody has it any more.
        unsafe {
            if sys::li_vrequest_handle_indirect(vr, ptr::null_mut()) == 0 {
                return None;
            }
            let source =
                Box::into_raw(Box::new(Source { stream: mem::zeroed(), desk: self.0, outlet: Cell::new(None) }));
            let event_loop = &raw mut (*(*vr).wrk).loop_;
            sys::li_stream_init(source.cast(), event_loop, Some(source_event::<M>));
            let outlet = self.0.sources.borrow_mut().place(source);
            (*source).outlet.set(Some(outlet));
            let drain = sys::li_stream_null_new(event_loop);
            sys::li_vrequest_indirect_connect(vr, drain, source.cast());
            sys::li_stream_release(drain);
            sys::li_stream_release(source.cast());
            (*vr).response.http_status = status;
            // Where the connection were kept, lighttpd2 would frame each piece as a chunk, which costs a fifth more.
            (*(*vr).coninfo).keep_alive = 0;
            sys::li_vrequest_indirect_headers_ready(vr);
            Some(outlet)
        }
    }

    /// Whether all that was sent has gone into the socket.
    pub fn is_idle(self, outlet: Outlet) -> bool {
        self.source(outlet).is_some_and(|source| {
            // SAFETY: `source` found one that is there, on this thread.
            unsafe { sys::li_streams_empty(source.cast(), ptr::null_mut()) != 0 }
        })
    }

    /// Sends more of a response.
    pub fn send(self, outlet: Outlet, bytes: &Bytes) {
        if let Some(source) = self.source(outlet) {
            // SAFETY: `source` found one that is there, on this thread, with its queue, which takes over a reference; lighttpd2
            // changes no buffer that it has from others, and calls nothing of the module's before this returns.
            unsafe {
                sys::li_buffer_acquire(bytes.0.as_ptr());
                sys::li_chunkqueue_append_buffer((*source).stream.out, bytes.0.as_ptr());
                sys::li_stream_notify_later(source.cast());
            }
        }
    }

    /// Ends a response. The module hears no more of it.
    pub fn close(self, outlet: Outlet) {
        if let Some(source) = self.source(outlet) {
            self.0.sources.borrow_mut().remove(outlet);
            // SAFETY: as in `send`.
            unsafe {
                (*source).outlet.set(None);
                (*(*source).stream.out).is_closed = 1;
                sys::li_stream_notify_later(source.cast());
            }
        }
    }

    fn source(self, outlet: Outlet) -> Option<*mut Source<M>> {
        self.0.sources.borrow().places.get(outlet.0 as usize).copied().filter(|source| !source.is_null())
    }
}

impl<M: Module> Sources<M> {
    fn place(&mut self, source: *mut Source<M>) -> Outlet {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(ptr::null_mut());
            (self.places.len() - 1) as u32
        });
        self.places[place as usize] = source;
        Outlet(place)
    }

    fn remove(&mut self, outlet: Outlet) {
        self.places[outlet.0 as usize] = ptr::null_mut();
        self.free.push(outlet.0);
        if self.free.len() == self.places.len() {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
    }
}

/// Called by lighttpd2 when something happens to what gives a response.
unsafe extern "C" fn source_event<M: Module>(stream: *mut sys::liStream, event: sys::liStreamEvent) {
    let source = stream.cast::<Source<M>>();
    // SAFETY: `Desk::respond` has made the stream a part of a source, which is there until its last event; its desk is there until
    // all connections are gone. On another thread than the desk's, which is gone then, the source alone is looked at.
    unsafe {
        let is_last = event == sys::LI_STREAM_DESTROY;
        if is_last || event == sys::LI_STREAM_DISCONNECTED_DEST {
            let desk = &*(*source).desk;
            if let Some(outlet) = (*source).outlet.take().filter(|_| desk.is_here()) {
                desk.sources.borrow_mut().remove(outlet);
                let plugin = Plugin::<M>::new(desk.plugin);
                guard(
                    || M::outlet_gone(plugin, Desk(desk), outlet),
                    |panic| report::<M>(desk.server.as_ptr(), plugin.module(), M::NAME, panic),
                );
            }
        }
        if is_last {
            drop(Box::from_raw(source));
        }
    }
}

/// Called by lighttpd2 when a worker was woken.
unsafe extern "C" fn on_job<M: Module>(job: *mut sys::liJob) {
    // SAFETY: lighttpd2 passes the job that `set_up` has made, which is a part of a desk, on its worker's thread.
    unsafe {
        let desk = &*job.byte_sub(offset_of!(Inner<M>, job)).cast::<Inner<M>>();
        let plugin = Plugin::<M>::new(desk.plugin);
        if desk.is_here() {
            guard(|| M::woken(plugin, Desk(desk)), |panic| Desk(desk).failed(panic));
        }
    }
}

/// Called by lighttpd2 when the time of a beat has come.
unsafe extern "C" fn on_beat<M: Module>(queue: *mut sys::liWaitQueue, desk: *mut c_void) {
    // SAFETY: lighttpd2 passes what `set_up` gave it, on the worker's thread; the module sees neither queue nor element.
    unsafe {
        let desk = &*desk.cast::<Inner<M>>();
        let plugin = Plugin::<M>::new(desk.plugin);
        // It was called in its time: where the system's time was set back meanwhile, lighttpd2 would take that for too early.
        (*desk.element.get()).ts = 0.0;
        sys::li_waitqueue_pop(queue);
        let has_failed = desk.has_failed.take();
        let goes_on = guard(
            || M::beat(plugin, Desk(desk)),
            |panic| {
                Desk(desk).failed(panic);
                // The next one ends what is open, unless it fails in its turn.
                desk.has_failed.set(!has_failed);
                !has_failed
            },
        );
        if goes_on {
            sys::li_waitqueue_push(queue, desk.element.get());
        }
        sys::li_waitqueue_update(queue);
    }
}

/// Called by lighttpd2 when the socket is ready.
unsafe extern "C" fn on_ready<M: Module>(event: *mut sys::liEventBase, _: i32) {
    // SAFETY: lighttpd2 passes the beginning of the event that `set_up` has made, which is a part of a desk, on its worker's thread.
    unsafe {
        let desk = &*event.byte_sub(offset_of!(Inner<M>, wire.event)).cast::<Inner<M>>();
        let plugin = Plugin::<M>::new(desk.plugin);
        if desk.is_here() {
            guard(
                || M::ready(plugin, Desk(desk)),
                |panic| {
                    Desk(desk).failed(panic);
                    // What is not read would be told again and again.
                    Desk(desk).unwatch();
                },
            );
        }
    }
}
