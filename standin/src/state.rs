//! What lighttpd2 knows of a request and the module does not.

use crate::ending::Life;
use crate::exports::broken;
use crate::headers::Headers;
use crate::memory::Object;
use crate::objects::empty_queue;
use crate::out::Out;
use crate::request::{Close, Target};
use crate::scratch::Scratch;
use crate::server::{StandInServer, own_place};
use lighttpd2::sys;
use std::cell::{Cell, RefCell};
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::thread::{self, ThreadId};

/// What tells the queue of a direct answer from other queues.
const DIRECT: u64 = 0x6469_7265_6374_6f75;

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
    pub body: RefCell<Vec<u8>>,
    pub direct: RefCell<Option<Object<sys::liChunkQueue>>>,
    server: *const StandInServer,
    worker: usize,
}

/// What is kept in the queue of a direct answer.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Direct {
    mark: u64,
    state: *const State,
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
            body: RefCell::default(),
            direct: RefCell::default(),
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
        self.body.take();
    }

    /// The state of the request `vr`.
    ///
    /// # Safety
    /// `vr` is a request that lives during `'a`.
    pub unsafe fn of_request<'a>(vr: *mut sys::liVRequest) -> &'a Self {
        // SAFETY: `Request::new` has left it there.
        unsafe { Self::checked(own_place::<*const State, _>(&raw mut (*vr).opaque_started).read_unaligned()) }
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
            Direct::place(queue.as_ptr()).write_unaligned(Direct { mark: DIRECT, state });
            (*vr).direct_out = queue.as_ptr();
        }
        *state.direct.borrow_mut() = Some(queue);
        true
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

impl Direct {
    /// `li_chunkqueue_append_mem`.
    ///
    /// # Safety
    /// `queue` is one of a request.
    pub unsafe fn append(queue: *mut sys::liChunkQueue, bytes: &[u8]) {
        // SAFETY: the caller promises a queue; what is in its opaque part is checked before it is used.
        unsafe {
            let direct = Self::place(queue).read_unaligned();
            if direct.mark != DIRECT {
                broken("something is appended to a queue that is not the module's to fill");
            }
            State::checked(direct.state).append_body(bytes);
            (*queue).bytes_in += bytes.len() as sys::goffset;
            (*queue).length += bytes.len() as sys::goffset;
        }
    }

    fn place(queue: *mut sys::liChunkQueue) -> *mut Self {
        // SAFETY: only the address is taken.
        unsafe { &raw mut (*queue).opaque_rest }.cast()
    }
}
