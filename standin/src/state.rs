//! What lighttpd2 knows of a request and the module does not.

use crate::action::{Function, Unfinished};
use crate::ending::Life;
use crate::event_loop::EventLoop;
use crate::exports::broken;
use crate::headers::Headers;
use crate::memory::{Object, POISON};
use crate::objects::empty_queue;
use crate::out::Out;
use crate::request::{Close, Target};
use crate::scratch::Scratch;
use crate::server::{StandInServer, own_place};
use crate::stream::Stream;
use crate::wire::Wire;
use lighttpd2::sys;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::thread::{self, ThreadId};

/// What tells the queue of a direct answer from other queues.
const DIRECT: u64 = 0x6469_7265_6374_6f75;

/// What tells the queue of a stream of the module's.
const OF_STREAM: u64 = 0x6f66_7374_7265_616d;

/// What is there where a queue is gone, or a request.
const GONE: u64 = u64::from_ne_bytes([POISON; 8]);

/// What lighttpd2 knows of a request and the module does not.
pub(crate) struct State {
    pub owner: Cell<ThreadId>,
    pub life: Cell<Life>,
    /// How it is to end where its response has gone at once.
    pub ends_at_once: Cell<Option<Close>>,
    /// Whether its connection goes on without it.
    pub is_upgraded: Cell<bool>,
    pub out: Out,
    /// Whether it runs inside another request.
    pub is_inner: Cell<bool>,
    pub target: RefCell<Target>,
    pub request_headers: Headers,
    pub response_headers: Headers,
    pub environment: RefCell<HashMap<Vec<u8>, Vec<u8>>>,
    pub body: RefCell<Vec<u8>>,
    pub direct: RefCell<Option<Object<sys::liChunkQueue>>>,
    /// Whether the module answers it over time.
    pub is_indirect: Cell<bool>,
    /// The streams of the module's that its body goes to, and that its response comes from.
    streams: Cell<Option<[Stream; 2]>>,
    /// The action that it waits in.
    waiting: RefCell<Option<Unfinished>>,
    /// Whether that is to be performed again.
    is_due: Cell<bool>,
    pub wire: Wire,
    server: *const StandInServer,
    worker: usize,
}

/// What is kept in a queue that the module may fill.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Place {
    mark: u64,
    owner: *mut c_void,
}

impl State {
    /// That of a new request of a worker, and of this thread. It is in a box, which is the caller's; `server` lives longer.
    pub fn new(server: &StandInServer, worker: usize) -> NonNull<Self> {
        let heap = &server.heap;
        let state = Box::leak(Box::new(Self {
            owner: Cell::new(thread::current().id()),
            life: Cell::default(),
            ends_at_once: Cell::default(),
            is_upgraded: Cell::default(),
            out: Out::new(heap),
            is_inner: Cell::default(),
            target: RefCell::default(),
            request_headers: Headers::new(heap),
            response_headers: Headers::new(heap),
            environment: RefCell::default(),
            body: RefCell::default(),
            direct: RefCell::default(),
            is_indirect: Cell::default(),
            streams: Cell::default(),
            waiting: RefCell::default(),
            is_due: Cell::default(),
            wire: Wire::new(),
            server,
            worker,
        }));
        let address = NonNull::from(&*state);
        for headers in [&state.request_headers, &state.response_headers] {
            headers.belong_to(address.as_ptr());
        }
        address
    }

    /// Makes it that of a new request.
    pub fn reset(&self) {
        self.life.take();
        self.is_upgraded.set(false);
        self.out.reset();
        self.is_inner.set(false);
        self.target.take();
        self.request_headers.clear();
        self.response_headers.clear();
        self.environment.take();
        self.body.take();
        self.is_indirect.set(false);
        self.is_due.set(false);
        self.wire.reset();
    }

    /// The state of the request `vr`.
    ///
    /// # Safety
    /// `vr` is a request that lives during `'a`.
    pub unsafe fn of_request<'a>(vr: *mut sys::liVRequest) -> &'a Self {
        // SAFETY: `Request::new` has left it there.
        unsafe {
            let state = own_place::<*const State, _>(&raw mut (*vr).opaque_started).read_unaligned();
            if state.addr() as u64 == GONE {
                broken("a request is used that is gone");
            }
            Self::checked(state)
        }
    }

    /// `li_connection_from_vrequest`.
    ///
    /// # Safety
    /// `vr` is a request.
    pub unsafe fn connection_of(vr: *mut sys::liVRequest) -> *mut sys::liConnection {
        // SAFETY: the caller promises a request, whose `coninfo` is that of its connection.
        unsafe {
            if Self::of_request(vr).is_inner.get() {
                return ptr::null_mut();
            }
            (*vr).coninfo.byte_sub(offset_of!(sys::liConnection, info)).cast()
        }
    }

    /// `li_vrequest_handle_direct`.
    ///
    /// # Safety
    /// `vr` is a request.
    pub unsafe fn handle_direct(vr: *mut sys::liVRequest) -> bool {
        // SAFETY: the caller promises a request.
        let state = unsafe { Self::of_request(vr) };
        if state.is_handled() {
            return false;
        }
        state.out.change(|stage| stage.state = sys::LI_VRS_HANDLE_RESPONSE_HEADERS);
        let queue = empty_queue(&state.server().heap);
        // SAFETY: the request is this thread's, and nobody else knows the queue yet.
        unsafe {
            (*queue.as_ptr()).is_closed = 1;
            let owner = ptr::from_ref(state).cast_mut().cast();
            Place::of(queue.as_ptr()).write_unaligned(Place { mark: DIRECT, owner });
            (*vr).direct_out = queue.as_ptr();
        }
        *state.direct.borrow_mut() = Some(queue);
        true
    }

    /// `li_vrequest_handle_indirect`.
    pub fn handle_indirect(&self) -> bool {
        if self.is_handled() {
            return false;
        }
        self.out.change(|stage| stage.state = sys::LI_VRS_READ_CONTENT);
        self.is_indirect.set(true);
        true
    }

    /// `li_vrequest_indirect_connect`.
    pub fn connect_with(&self, drain: Stream, source: Stream) {
        if !self.is_indirect.get() || self.out.stage().state != sys::LI_VRS_READ_CONTENT {
            broken("streams are connected with a request that the module does not answer, or has begun to answer");
        }
        if self.streams.get().is_some() {
            broken("a request is connected with streams twice");
        }
        if !drain.is_null_stream() {
            broken("the stand-in takes bodies only for a stream of li_stream_null_new");
        }
        for stream in [drain, source] {
            stream.check_free(self.event_loop());
            stream.set_request(self);
            stream.keep();
        }
        self.streams.set(Some([drain, source]));
    }

    /// `li_vrequest_indirect_headers_ready`.
    pub fn set_headers_ready(&self) {
        if self.streams.get().is_none() || self.out.stage().state >= sys::LI_VRS_HANDLE_RESPONSE_HEADERS {
            broken("headers are ready of a request without streams, or twice");
        }
        self.out.change(|stage| stage.state = sys::LI_VRS_HANDLE_RESPONSE_HEADERS);
        self.event_loop().jobs.begin(self);
    }

    /// The header is ready: the response begins, unless there is an action that comes first.
    pub fn connect(&self) {
        if self.is_waiting() {
            return self.is_due.set(true);
        }
        match self.streams.get() {
            Some([_, source]) if self.out.stage().state == sys::LI_VRS_HANDLE_RESPONSE_HEADERS => {
                self.out.connect(source)
            }
            _ => {}
        }
    }

    /// Nothing comes after what waits.
    ///
    /// # Panics
    /// Where a stream of the module's gives the response and does not end.
    pub fn complete(&self) {
        let Some([_, source]) = self.streams.get() else { return self.out.complete() };
        if self.out.stage().is_complete {
            return;
        }
        assert!(source.is_closed(), "a response ends as the module ends its stream");
        if self.out.stage().is_fed {
            self.out.tell(sys::LI_STREAM_NEW_DATA);
        } else {
            self.connect();
        }
    }

    /// `li_vrequest_joblist_append`.
    pub fn perform_later(&self) {
        if self.out.stage().state == sys::LI_VRS_CLEAN {
            broken("a request is to go on that has ended or not begun");
        }
        self.event_loop().jobs.perform(self);
    }

    /// The worker has come to it: the action that it waits in is to be performed again. As in lighttpd2, not while only the
    /// header of a response over time is waited for.
    pub fn make_due(&self) {
        if self.is_waiting() && self.out.stage().state != sys::LI_VRS_READ_CONTENT {
            self.is_due.set(true);
        }
    }

    /// Whether an action is to be performed again.
    pub fn is_due(&self) -> bool {
        self.is_due.get()
    }

    /// Whether it waits in an action.
    pub fn is_waiting(&self) -> bool {
        self.waiting.borrow().is_some()
    }

    /// It waits in an action, where the module keeps this.
    pub fn wait_in(&self, function: &Function<'_>, context: *mut c_void) {
        *self.waiting.borrow_mut() = Some(function.unfinished(context));
    }

    /// An action is performed: what the module keeps there if it has waited in it.
    ///
    /// # Panics
    /// Where it waits in another action.
    pub fn stop_waiting_in(&self, function: &Function<'_>) -> Option<*mut c_void> {
        self.is_due.set(false);
        let waiting = self.waiting.take()?;
        Some(waiting.context_of(function).expect("a request that waits goes on with the same action"))
    }

    /// It is over. Where it waits in an action, that is done with.
    pub fn clean_up(&self) {
        self.is_due.set(false);
        if let Some(waiting) = self.waiting.take() {
            // SAFETY: it is this thread's.
            unsafe { waiting.clean_up(self.out.vrequest()) };
            self.scratch().spoil();
        }
    }

    /// Lets go of the module's streams.
    pub fn release_streams(&self) {
        let Some([drain, source]) = self.streams.take() else { return };
        for stream in [source, drain] {
            stream.set_request(ptr::null());
            stream.let_go();
        }
    }

    /// From now on it belongs to this thread.
    pub fn adopt(&self) {
        self.owner.set(thread::current().id());
        self.streams.get().into_iter().flatten().for_each(Stream::adopt);
    }

    /// Adds to the body of a direct answer.
    pub fn append_body(&self, bytes: &[u8]) {
        self.body.borrow_mut().extend_from_slice(bytes);
        self.out.feed(bytes.len());
    }

    /// Whether something answers the request.
    pub fn is_handled(&self) -> bool {
        self.out.stage().state >= sys::LI_VRS_READ_CONTENT
    }

    /// The server.
    pub fn server(&self) -> &StandInServer {
        // SAFETY: `new` was promised that it lives longer.
        unsafe { &*self.server }
    }

    /// The event loop of its worker.
    pub fn event_loop(&self) -> &EventLoop {
        self.server().event_loop(self.worker)
    }

    /// The `tmp_str` of its worker.
    pub fn scratch(&self) -> &Scratch {
        self.server().scratch(self.worker)
    }

    /// Ends the program where this thread may not use it.
    ///
    /// # Safety
    /// `state` is one that lives during `'a`.
    pub unsafe fn checked<'a>(state: *const Self) -> &'a Self {
        // SAFETY: the caller promises it.
        let state = unsafe { &*state };
        if state.owner.get() != thread::current().id() {
            broken("a request is used on another thread than its worker's");
        }
        state
    }
}

impl Place {
    /// `li_chunkqueue_append_mem`.
    ///
    /// # Safety
    /// `queue` is one of a request or of a stream, or NULL.
    pub unsafe fn append(queue: *mut sys::liChunkQueue, bytes: &[u8]) {
        if queue.is_null() {
            broken("something is appended to a queue that is NULL");
        }
        // SAFETY: the caller promises a queue; what is in its opaque part is checked before it is used.
        unsafe {
            let place = Self::of(queue).read_unaligned();
            match place.mark {
                DIRECT => {
                    State::checked(place.owner.cast()).append_body(bytes);
                    (*queue).bytes_in += bytes.len() as sys::goffset;
                    (*queue).length += bytes.len() as sys::goffset;
                }
                OF_STREAM => Stream::from_abi(place.owner.cast()).append(bytes),
                GONE => broken("something is appended to a queue that is gone"),
                _ => broken("something is appended to a queue that is not the module's to fill"),
            }
        }
    }

    /// What is kept in the queue of `stream`.
    pub fn of_stream(stream: *mut sys::liStream) -> Self {
        Self { mark: OF_STREAM, owner: stream.cast() }
    }

    /// Where it is in a queue.
    pub fn of(queue: *mut sys::liChunkQueue) -> *mut Self {
        // SAFETY: only the address is taken.
        unsafe { &raw mut (*queue).opaque_rest }.cast()
    }
}
