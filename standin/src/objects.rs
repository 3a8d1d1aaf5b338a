//! lighttpd2's objects of one request.

use crate::exports::broken;
use crate::memory::{Heap, Object, UNSET};
use crate::request::Target;
use crate::request_options::RequestOptions;
use crate::server::{PLUGINS, PLUGINS_BEFORE, StandInServer, own_place};
use crate::state::State;
use crate::value::Text;
use lighttpd2::sys;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// What the slots of other plugins hold.
const FOREIGN_SLOT: usize = 0x1357_9bdf;

/// A word that the module reads from any thread.
pub struct Counter(NonNull<i64>);

/// What the module can look at.
pub(crate) struct Objects {
    pub connection: Object<sys::liConnection>,
    pub vrequest: Object<sys::liVRequest>,
    request_body: Object<sys::liChunkQueue>,
    response: Object<sys::liChunkQueue>,
    slots: Object<sys::gpointer>,
    _slot_array: Object<sys::GPtrArray>,
    /// No condition matches by a regular expression here.
    matches: Object<sys::GArray>,
    pub options: RequestOptions,
    query: Option<Text>,
    /// Method, path, host and client.
    target: Option<[Text; 4]>,
}

impl Counter {
    /// # Safety
    /// `word` is a word of an object that lives longer.
    pub(crate) unsafe fn of(word: *mut i64) -> Self {
        Self(NonNull::new(word).expect("no object is at 0"))
    }

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
        // SAFETY: `of` was promised that the word is there.
        unsafe { AtomicI64::from_ptr(self.0.as_ptr()) }
    }
}

/// A queue that nothing has gone through.
pub(crate) fn empty_queue(heap: &Arc<Heap>) -> Object<sys::liChunkQueue> {
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

impl Objects {
    /// Those of a request of a worker, not reset yet. `state` is what the stand-in itself knows of it.
    pub fn new(server: &StandInServer, worker: usize, state: NonNull<State>) -> Self {
        let heap = &server.heap;
        let (request_body, response) = (empty_queue(heap), empty_queue(heap));
        let slots = Object::copy_of(heap, &[ptr::null_mut::<c_void>(); PLUGINS]);
        let matches = Object::<sys::GArray>::zeroed(heap);
        let slot_array = Object::<sys::GPtrArray>::unset(heap);
        let options = RequestOptions::new(heap, &server.options(), server.pointer_options());
        let connection = Object::<sys::liConnection>::unset(heap);
        let vrequest = Object::<sys::liVRequest>::unset(heap);
        let (con, vr) = (connection.as_ptr(), vrequest.as_ptr());
        // SAFETY: nobody else knows the objects yet.
        unsafe {
            let info = &raw mut (*con).info;
            (*con).mainvr = vr;
            state.as_ref().out.place_in(con, state.as_ptr());
            (*con).opaque_in.out = request_body.as_ptr();
            (*con).out.out = response.as_ptr();
            (*info).req = &raw mut (*con).opaque_in;
            (*info).resp = &raw mut (*con).out;
            (*slot_array.as_ptr()).pdata = slots.as_ptr();
            (*slot_array.as_ptr()).len = PLUGINS as sys::guint;
            (*vr).coninfo = info;
            (*vr).wrk = server.worker(worker);
            options.place_in(vr);
            (*vr).log_context.log_map = ptr::null_mut();
            own_place::<*const State, _>(&raw mut (*vr).opaque_started).write_unaligned(state.as_ptr().cast_const());
            (*vr).plugin_ctx = slot_array.as_ptr();
            (*vr).action_stack.regex_stack = matches.as_ptr();
            (*vr).request.headers = state.as_ref().request_headers.as_ptr();
            (*vr).response.headers = state.as_ref().response_headers.as_ptr();
        }
        Self {
            connection,
            vrequest,
            request_body,
            response,
            slots,
            _slot_array: slot_array,
            matches,
            options,
            query: None,
            target: None,
        }
    }

    /// What is counted of the request's body, of the response, of what has gone to the client, and the length of the body.
    /// They are to be dropped before the objects.
    pub fn counters(&self) -> [Counter; 4] {
        let (con, vr) = (self.connection.as_ptr(), self.vrequest.as_ptr());
        let (received, given) = (self.request_body.as_ptr(), self.response.as_ptr());
        // SAFETY: they are inside the objects.
        unsafe {
            [
                Counter::of(&raw mut (*received).bytes_in),
                Counter::of(&raw mut (*given).bytes_in),
                Counter::of((&raw mut (*con).info.stats.bytes_out).cast()),
                Counter::of(&raw mut (*vr).request.content_length),
            ]
        }
    }

    /// Gives them what a new request has, but for the counters.
    pub fn reset(&mut self, server: &StandInServer) {
        self.reset_vrequest(server);
        self.set_query(None);
        self.set_target(&server.heap, &Target::default(), b"");
        // SAFETY: the module does not use a request that is closed or new.
        unsafe {
            (*self.connection.as_ptr()).info.stats.bytes_in = 0;
            (*self.connection.as_ptr()).info.keep_alive = 1;
            (*self.vrequest.as_ptr()).request.http_method = sys::LI_HTTP_METHOD_UNSET;
        }
    }

    /// Takes from the request what was made of it, and leaves what the client has sent.
    pub fn reset_vrequest(&mut self, server: &StandInServer) {
        self.options.reset(&server.options(), server.pointer_options());
        let mut slots = [ptr::without_provenance_mut::<c_void>(FOREIGN_SLOT); PLUGINS];
        slots[PLUGINS_BEFORE] = ptr::null_mut();
        // SAFETY: the module does not use a request that is closed or new. There is room for as many slots.
        unsafe {
            let vr = self.vrequest.as_ptr();
            ptr::copy_nonoverlapping(slots.as_ptr(), self.slots.as_ptr(), PLUGINS);
            (*vr).response.http_status = 0;
            (*vr).direct_out = ptr::null_mut();
        }
    }

    /// Whether nothing more comes into the response.
    pub fn set_response_closed(&self, is_closed: bool) {
        // SAFETY: the module looks at it in callbacks only.
        unsafe { (*self.response.as_ptr()).is_closed = is_closed.into() };
    }

    /// Makes it the request's query string.
    pub fn set_query(&mut self, query: Option<Text>) {
        let address = query.as_ref().map_or(ptr::null_mut(), Text::as_ptr);
        // SAFETY: the module looks at it in actions only.
        unsafe { (*self.vrequest.as_ptr()).request.uri.query = address };
        self.query = query;
    }

    /// Makes it what the request asks for.
    pub fn set_target(&mut self, heap: &Arc<Heap>, target: &Target, host: &[u8]) {
        let texts = [&target.method, &target.path, host, &target.remote_ip].map(|bytes| Text::new(heap, Some(bytes)));
        let [method, path, host, client] = texts.each_ref().map(Text::as_ptr);
        // SAFETY: the module looks at it in actions only.
        unsafe {
            let request = &raw mut (*self.vrequest.as_ptr()).request;
            (*request).http_method_str = method;
            (*request).uri.path = path;
            (*request).uri.host = host;
            (*self.connection.as_ptr()).info.remote_addr_str = client;
        }
        self.target = Some(texts);
    }

    /// What a plugin keeps in the request.
    pub fn slot(&self, plugin: usize) -> usize {
        assert!(plugin < PLUGINS, "there are {PLUGINS} plugins");
        // SAFETY: a plugin uses its slot in callbacks only.
        unsafe { *self.slots.as_ptr().add(plugin) }.addr()
    }

    /// Ends the program where the module has written to what is not its own.
    pub fn check_what_is_not_the_modules(&self) {
        // SAFETY: no callback runs; these parts are not read by other threads.
        unsafe {
            let (con, vr) = (self.connection.as_ptr(), self.vrequest.as_ptr());
            let timeout = &raw const (*con).io_timeout_elem;
            let untouched = [
                is_unset(&raw const (*con).opaque_head),
                is_unset(&raw const (*con).opaque_expect_100_cont),
                is_unset(&raw const (*con).opaque_filters),
                is_unset(&raw const (*con).opaque_keep_alive),
                is_unset(&raw const (*timeout).ts),
                is_unset(&raw const (*timeout).prev),
                is_unset(&raw const (*timeout).next),
                is_unset(&raw const (*timeout).data),
                is_unset(&raw const (*con).opaque_job_reset),
                is_unset(&raw const (*con).info.opaque_head),
                is_unset(&raw const (*con).info.opaque_local_addr),
                is_unset(&raw const (*vr).request.uri.opaque_head),
                is_unset(&raw const (*vr).request.opaque_version),
                is_unset(&raw const (*con).opaque_in.opaque_job),
                is_unset(&raw const (*con).opaque_in.cb),
                is_unset(&raw const (*vr).opaque_physical),
                is_unset(&raw const (*vr).env),
                is_unset(&raw const (*vr).opaque_streams),
                is_unset(&raw const (*vr).action_stack.opaque_stack),
                is_unset(&raw const (*vr).action_stack.opaque_backends),
                is_unset(&raw const (*vr).opaque_rest),
            ];
            let streams = [&raw const (*con).opaque_in, &raw const (*con).out].map(|stream| {
                is_unset(&raw const (*stream).opaque_refcount) && is_unset(&raw const (*stream).opaque_dest)
            });
            if untouched.contains(&false) || streams.contains(&false) {
                broken("it writes where it knows nothing of");
            }
            if (*vr).action_stack.regex_stack != self.matches.as_ptr() || (*self.matches.as_ptr()).len != 0 {
                broken("it changes the matches of conditions");
            }
            for slot in (0..PLUGINS).filter(|slot| *slot != PLUGINS_BEFORE) {
                if self.slot(slot) != FOREIGN_SLOT {
                    broken("it writes into another plugin's slot");
                }
            }
        }
        self.options.check();
    }
}

/// Whether nobody has written there since the object was made.
///
/// # Safety
/// `part` is inside an object that nobody else uses now.
pub(crate) unsafe fn is_unset<T: ?Sized>(part: *const T) -> bool {
    // SAFETY: the caller promises it; a heap sets each byte of what it hands out.
    unsafe { slice::from_raw_parts(part.cast::<u8>(), size_of_val(&*part)) }.iter().all(|&byte| byte == UNSET)
}
