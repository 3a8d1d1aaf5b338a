//! lighttpd2's objects of one request, and the request's way through the module.

use crate::action::Action;
use crate::exports::broken;
use crate::memory::{Heap, Object, UNSET};
use crate::module::Module;
use crate::plugin::FOREIGN_OPTION;
use crate::server::{PLUGINS, PLUGINS_BEFORE, own_place};
use crate::sys;
use crate::value::Text;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::thread::{self, ThreadId};

/// What the slots of other plugins hold.
const FOREIGN_SLOT: usize = 0x1357_9bdf;

/// What tells the queue of a direct answer from other queues.
const DIRECT: u64 = 0x6469_7265_6374_6f75;

/// A request. It belongs to the thread that has made it. When it is dropped it is closed, if it was not, and its memory is
/// released.
pub struct Request<'m> {
    module: &'m Module<'m>,
    objects: Objects,
    state: NonNull<State>,
    /// Bytes of the body that have come.
    pub received: Counter,
    /// Bytes that the connection was given to send.
    pub given: Counter,
    /// Bytes that have gone into the socket.
    pub sent: Counter,
    /// Length of the body; -1 while it is not known.
    pub content_length: Counter,
    is_closed: bool,
}

// SAFETY: one thread at a time uses it: a worker, or the main thread after the worker has ended.
unsafe impl Send for Request<'_> {}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Whole, and the connection waits for the next one.
    KeptAlive,
    /// Whole, and the connection ends with it.
    Ended,
    /// By either side, before it was whole.
    BrokenOff,
    /// Because nothing moved for too long, perhaps before it was whole.
    TimedOut,
    /// With the server: nobody is told that the connection closes.
    Stopped,
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: i32,
    /// Names and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A word that the module reads from any thread.
pub struct Counter(NonNull<i64>);

/// What the module can look at.
struct Objects {
    connection: Object<sys::liConnection>,
    vrequest: Object<sys::liVRequest>,
    _request_body: Queue,
    _response: Queue,
    slots: Object<sys::gpointer>,
    _slot_array: Object<sys::GPtrArray>,
    options: Object<sys::liOptionValue>,
    option_count: usize,
    query: Option<Text>,
}

/// A stream and its queue.
struct Queue {
    stream: Object<sys::liStream>,
    queue: Object<sys::liChunkQueue>,
}

/// What lighttpd2 knows of a request and the module does not.
pub(crate) struct State {
    owner: Cell<ThreadId>,
    /// Whether it has got as far as the actions.
    is_entered: Cell<bool>,
    is_handled: Cell<bool>,
    headers: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    body: RefCell<Vec<u8>>,
    direct: RefCell<Option<Object<sys::liChunkQueue>>>,
    heap: Arc<Heap>,
}

/// What is kept in the queue of a direct answer.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Direct {
    mark: u64,
    state: *const State,
}

impl Counter {
    /// Its value.
    pub fn get(&self) -> i64 {
        self.word().load(Relaxed)
    }

    /// Makes it `value`.
    pub fn set(&self, value: i64) {
        self.word().store(value, Relaxed);
    }

    /// Adds `bytes` to it. Only one thread does so.
    pub fn add(&self, bytes: usize) {
        self.set(self.get() + bytes as i64);
    }

    fn word(&self) -> &AtomicI64 {
        // SAFETY: a request makes its counters of words of its objects, and hands them out for as long as it lives.
        unsafe { AtomicI64::from_ptr(self.0.as_ptr()) }
    }
}

impl Queue {
    fn new(heap: &Arc<Heap>) -> Self {
        let queue = empty_queue(heap);
        let stream = Object::<sys::liStream>::unset(heap);
        // SAFETY: nobody else knows the object yet.
        unsafe { (*stream.as_ptr()).out = queue.as_ptr() };
        Self { stream, queue }
    }

    fn bytes_in(&self) -> Counter {
        // SAFETY: it is inside the object.
        counter(unsafe { &raw mut (*self.queue.as_ptr()).bytes_in })
    }
}

fn empty_queue(heap: &Arc<Heap>) -> Object<sys::liChunkQueue> {
    let queue = Object::<sys::liChunkQueue>::unset(heap);
    // SAFETY: nobody else knows the object yet.
    unsafe {
        (*queue.as_ptr()).is_closed = 0;
        (*queue.as_ptr()).bytes_in = 0;
        (*queue.as_ptr()).bytes_out = 0;
        (*queue.as_ptr()).length = 0;
    }
    queue
}

fn counter(word: *mut i64) -> Counter {
    Counter(NonNull::new(word).expect("no object is at 0"))
}

impl<'m> Request<'m> {
    /// A request of a worker, about which nothing is known yet.
    pub fn new(module: &'m Module<'m>, worker: usize) -> Self {
        let server = module.server();
        let heap = &server.heap;
        let (request_body, response) = (Queue::new(heap), Queue::new(heap));
        let slots = Object::copy_of(heap, &[ptr::null_mut::<c_void>(); PLUGINS]);
        let slot_array = Object::<sys::GPtrArray>::unset(heap);
        let (options, option_count) = {
            let options = server.options();
            (Object::copy_of(heap, &options), options.len())
        };
        let state = Box::new(State {
            owner: Cell::new(thread::current().id()),
            is_entered: Cell::default(),
            is_handled: Cell::default(),
            headers: RefCell::default(),
            body: RefCell::default(),
            direct: RefCell::default(),
            heap: Arc::clone(heap),
        });
        let state = NonNull::from(Box::leak(state));
        let connection = Object::<sys::liConnection>::unset(heap);
        let vrequest = Object::<sys::liVRequest>::unset(heap);
        let (con, vr) = (connection.as_ptr(), vrequest.as_ptr());
        // SAFETY: nobody else knows the objects yet.
        let (sent, content_length) = unsafe {
            let info = &raw mut (*con).info;
            (*con).mainvr = vr;
            (*info).req = request_body.stream.as_ptr();
            (*info).resp = response.stream.as_ptr();
            (*slot_array.as_ptr()).pdata = slots.as_ptr();
            (*slot_array.as_ptr()).len = PLUGINS as sys::guint;
            (*vr).coninfo = info;
            (*vr).wrk = server.worker(worker);
            (*vr).options = options.as_ptr();
            (*vr).log_context.log_map = ptr::null_mut();
            own_place::<State, _>(&raw mut (*vr).opaque_state).write_unaligned(state.as_ptr().cast_const());
            (*vr).plugin_ctx = slot_array.as_ptr();
            (*vr).response.headers = state.as_ptr().cast();
            (counter((&raw mut (*info).stats.bytes_out).cast()), counter(&raw mut (*vr).request.content_length))
        };
        let mut request = Self {
            module,
            received: request_body.bytes_in(),
            given: response.bytes_in(),
            sent,
            content_length,
            objects: Objects {
                connection,
                vrequest,
                _request_body: request_body,
                _response: response,
                slots,
                _slot_array: slot_array,
                options,
                option_count,
                query: None,
            },
            state,
            is_closed: false,
        };
        request.reset();
        request
    }

    /// Closes it, and makes its memory that of the next request on the same connection.
    pub fn recycle(&mut self) {
        self.end(Close::KeptAlive);
        self.reset();
    }

    /// Gives it what every new request has.
    fn reset(&mut self) {
        let mut slots = [ptr::without_provenance_mut::<c_void>(FOREIGN_SLOT); PLUGINS];
        slots[PLUGINS_BEFORE] = ptr::null_mut();
        let options = self.module.server().options().clone();
        // SAFETY: the module does not use a request that is closed or new. There is room for as many slots and options.
        unsafe {
            let (con, vr) = (self.connection(), self.vr());
            (*con).info.aborted = 0;
            (*con).out_has_all_data = 0;
            (*con).info.stats.bytes_in = 0;
            ptr::copy_nonoverlapping(slots.as_ptr(), self.objects.slots.as_ptr(), PLUGINS);
            ptr::copy_nonoverlapping(options.as_ptr(), self.objects.options.as_ptr(), self.objects.option_count);
            (*vr).request.http_method = sys::LI_HTTP_METHOD_UNSET;
            (*vr).request.uri.query = ptr::null_mut();
            (*vr).response.http_status = 0;
            (*vr).direct_out = ptr::null_mut();
        }
        self.objects.query = None;
        for counter in [&self.received, &self.given, &self.sent, &self.content_length] {
            counter.set(0);
        }
        let state = self.state();
        state.is_entered.set(false);
        state.is_handled.set(false);
        state.headers.take();
        state.body.take();
        self.is_closed = false;
    }

    /// Its header has come. `query` is NULL where there is none; -1 is a length that is not known yet.
    pub fn enter(&mut self, method: sys::liHttpMethod, query: Option<&[u8]>, content_length: i64) {
        let query = query.map(|query| Text::new(&self.module.server().heap, Some(query)));
        // SAFETY: the module looks at it in actions only.
        unsafe {
            (*self.vr()).request.http_method = method;
            (*self.vr()).request.uri.query = query.as_ref().map_or(ptr::null_mut(), Text::as_ptr);
        }
        self.objects.query = query;
        self.content_length.set(content_length);
        self.state().is_entered.set(true);
    }

    /// Performs an action of the module's, or one that sets an option.
    pub fn perform(&mut self, action: &Action<'_>) {
        match action {
            Action::Function(function) => {
                let parts = function.parts();
                let Some(call) = parts.function else { broken("an action without a function") };
                let mut context = ptr::null_mut();
                // SAFETY: the module has made the action for this; the request is this thread's.
                let result = unsafe { call(self.vr(), parts.param, &raw mut context) };
                if !context.is_null() && parts.cleanup.is_none() {
                    broken("an action leaves a context and has no cleanup");
                }
                if result != sys::LI_HANDLER_GO_ON {
                    broken("this module's actions always go on");
                }
            }
            // SAFETY: options are this request's own, and `index` is of one of them.
            Action::Setting { index, value } => unsafe { *self.objects.options.as_ptr().add(*index) = *value },
            Action::Own(_) => {}
        }
    }

    /// Answers it as a plugin would. Does nothing where it is handled already.
    pub fn respond(&mut self, status: i32, body: &[u8]) {
        // SAFETY: it is this thread's request.
        if unsafe { State::handle_direct(self.vr()) } {
            self.set_status(status);
            if !body.is_empty() {
                self.state().set_header(b"Content-Type", b"text/plain");
                self.state().body.borrow_mut().extend_from_slice(body);
            }
        }
    }

    /// Whether something answers it.
    pub fn is_handled(&self) -> bool {
        self.state().is_handled()
    }

    /// From now on something answers it over time.
    pub fn handle_indirect(&mut self) {
        self.state().is_handled.set(true);
    }

    /// The HTTP status of its response; 0 where none was chosen.
    pub fn status(&self) -> i32 {
        // SAFETY: the module sets it in actions only.
        unsafe { (*self.vr()).response.http_status }
    }

    /// Chooses the HTTP status of its response.
    pub fn set_status(&mut self, status: i32) {
        // SAFETY: as in `status`.
        unsafe { (*self.vr()).response.http_status = status };
    }

    /// The response has come to its end, though perhaps not to the client.
    pub fn set_complete(&mut self) {
        // SAFETY: the module looks at it in callbacks only.
        unsafe { (*self.connection()).out_has_all_data = 1 };
    }

    /// What it was answered with at once, if it was.
    pub fn answer(&self) -> Option<Answer> {
        let state = self.state();
        state.direct.borrow().as_ref().map(|_| Answer {
            status: self.status(),
            headers: state.headers.borrow().clone(),
            body: state.body.borrow().clone(),
        })
    }

    /// What the module knows it by.
    pub fn vr(&self) -> *mut sys::liVRequest {
        self.objects.vrequest.as_ptr()
    }

    /// What the module knows its connection by.
    pub fn connection(&self) -> *mut sys::liConnection {
        self.objects.connection.as_ptr()
    }

    /// What the module keeps in it.
    pub fn slot(&self) -> usize {
        // SAFETY: the module uses its slot in callbacks only.
        unsafe { *self.objects.slots.as_ptr().add(PLUGINS_BEFORE) }.addr()
    }

    /// From now on it belongs to this thread; the one that it belonged to has ended.
    pub fn adopt(&mut self) {
        self.state().owner.set(thread::current().id());
    }

    /// Closes it: the module is told, what it must have left alone is looked at, and the memory is released.
    pub fn close(mut self, how: Close) {
        self.end(how);
    }

    fn end(&mut self, how: Close) {
        self.is_closed = true;
        match how {
            Close::KeptAlive | Close::Ended => self.set_complete(),
            Close::BrokenOff => self.set_aborted(),
            Close::TimedOut | Close::Stopped => {}
        }
        if how != Close::Stopped {
            self.module.handle_close(self);
        }
        // SAFETY: the module uses it in actions only; it is released before `handle_vrclose`.
        unsafe { (*self.vr()).direct_out = ptr::null_mut() };
        drop(self.state().direct.take());
        if how != Close::KeptAlive {
            self.set_aborted();
        }
        if self.state().is_entered.get() {
            self.module.handle_vrclose(self);
        }
        self.check_what_is_not_the_modules();
    }

    fn set_aborted(&mut self) {
        // SAFETY: the module looks at it in callbacks only.
        unsafe { (*self.connection()).info.aborted = 1 };
    }

    fn check_what_is_not_the_modules(&self) {
        let unset = |bytes: &[std::ffi::c_char]| bytes.iter().all(|&byte| byte as u8 == UNSET);
        // SAFETY: no callback runs; these parts are not read by other threads.
        unsafe {
            let (con, vr) = (self.connection(), self.vr());
            let untouched = [
                unset(&(*con).opaque_head),
                unset(&(*con).opaque_streams),
                unset(&(*con).opaque_rest),
                unset(&(*con).info.opaque_head),
                unset(&(*vr).opaque_physical),
                unset(&(*vr).opaque_streams),
                unset(&(*vr).opaque_rest),
            ];
            if untouched.contains(&false) {
                broken("it writes where it knows nothing of");
            }
            for slot in (0..PLUGINS).filter(|slot| *slot != PLUGINS_BEFORE) {
                if (*self.objects.slots.as_ptr().add(slot)).addr() != FOREIGN_SLOT {
                    broken("it writes into another plugin's slot");
                }
            }
            let last = self.objects.option_count.checked_sub(1);
            if last.is_some_and(|last| (*self.objects.options.as_ptr().add(last)).number != FOREIGN_OPTION) {
                broken("it writes into another plugin's option");
            }
        }
    }

    fn state(&self) -> &State {
        // SAFETY: it is from a box that only `drop` frees; what changes in it is in cells of this thread.
        unsafe { self.state.as_ref() }
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if !self.is_closed {
            self.end(Close::Stopped);
        }
        // SAFETY: `new` made it from a box, and the module does not use it after `handle_vrclose`.
        drop(unsafe { Box::from_raw(self.state.as_ptr()) });
    }
}

impl State {
    /// The state of the request `vr`.
    ///
    /// # Safety
    /// `vr` is a request that lives during `'a`.
    pub unsafe fn of_request<'a>(vr: *mut sys::liVRequest) -> &'a Self {
        // SAFETY: `Request::new` has left it there.
        unsafe { Self::checked(own_place::<State, _>(&raw mut (*vr).opaque_state).read_unaligned()) }
    }

    /// The state of the request with these headers.
    ///
    /// # Safety
    /// `headers` are of a request that lives during `'a`.
    pub unsafe fn of_headers<'a>(headers: *mut sys::liHttpHeaders) -> &'a Self {
        // SAFETY: that is what `Request::new` made them.
        unsafe { Self::checked(headers.cast_const().cast()) }
    }

    /// `li_vrequest_handle_direct`.
    ///
    /// # Safety
    /// `vr` is a request.
    pub unsafe fn handle_direct(vr: *mut sys::liVRequest) -> bool {
        // SAFETY: the caller promises a request.
        let state = unsafe { Self::of_request(vr) };
        if state.is_handled.replace(true) {
            return false;
        }
        let queue = empty_queue(&state.heap);
        // SAFETY: the request is this thread's, and nobody else knows the queue yet.
        unsafe {
            (*queue.as_ptr()).is_closed = 1;
            Direct::place(queue.as_ptr()).write_unaligned(Direct { mark: DIRECT, state });
            (*vr).direct_out = queue.as_ptr();
        }
        *state.direct.borrow_mut() = Some(queue);
        true
    }

    /// Whether something answers the request.
    pub fn is_handled(&self) -> bool {
        self.is_handled.get()
    }

    /// Sets a header of the response.
    pub fn set_header(&self, name: &[u8], value: &[u8]) {
        let mut headers = self.headers.borrow_mut();
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        headers.push((name.to_vec(), value.to_vec()));
    }

    /// # Safety
    /// `state` is one that lives during `'a`.
    unsafe fn checked<'a>(state: *const Self) -> &'a Self {
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
            State::checked(direct.state).body.borrow_mut().extend_from_slice(bytes);
            (*queue).bytes_in += bytes.len() as sys::goffset;
            (*queue).length += bytes.len() as sys::goffset;
        }
    }

    fn place(queue: *mut sys::liChunkQueue) -> *mut Self {
        // SAFETY: only the address is taken.
        unsafe { &raw mut (*queue).opaque_rest }.cast()
    }
}
