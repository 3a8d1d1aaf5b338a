//! A request.

use super::log::{self, Level, Log};
use super::{
    BooleanOption, Boxed, BoxedOption, Desk, LiveCounters, Module, NumberOption, Pattern, Plugin, response, value,
};
use crate::sys;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A request that is being handled.
#[derive(Clone, Copy)]
pub struct VRequest<'a> {
    vr: NonNull<sys::liVRequest>,
    alive: PhantomData<&'a sys::liVRequest>,
}

/// An HTTP method that lighttpd2 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(sys::liHttpMethod);

impl Method {
    /// The method of uploads.
    pub const POST: Self = Self(sys::LI_HTTP_METHOD_POST);

    /// The method of requests for headers alone.
    pub const HEAD: Self = Self(sys::LI_HTTP_METHOD_HEAD);

    /// The method of questions about what may be asked.
    pub const OPTIONS: Self = Self(sys::LI_HTTP_METHOD_OPTIONS);

    /// The method of that name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let length = sys::gssize::try_from(name.len()).ok()?;
        // SAFETY: lighttpd2 reads that many bytes.
        Self::known(unsafe { sys::li_http_method_from_string(name.as_ptr().cast(), length) })
    }

    /// The names of all methods that lighttpd2 knows, for messages.
    pub fn names() -> String {
        let known = (sys::LI_HTTP_METHOD_GET..=sys::LI_HTTP_METHOD_CONNECT).filter_map(|method| {
            let mut length = 0;
            // SAFETY: lighttpd2 returns a constant of that length, or NULL.
            unsafe {
                let name = sys::li_http_method_string(method, &raw mut length).cast::<u8>();
                (!name.is_null()).then(|| String::from_utf8_lossy(std::slice::from_raw_parts(name, length as usize)))
            }
        });
        known.collect::<Vec<_>>().join(", ")
    }

    /// The bit that stands for it in a set of methods.
    pub fn bit(self) -> i64 {
        1 << self.0
    }

    fn known(method: sys::liHttpMethod) -> Option<Self> {
        (0..i64::BITS as sys::liHttpMethod - 1).contains(&method).then_some(Self(method))
    }
}

/// The word that a plugin has in every request; zero for a new one.
#[derive(Clone, Copy)]
pub struct Slot<'a>(NonNull<*mut c_void>, PhantomData<&'a sys::liVRequest>);

impl Slot<'_> {
    /// What it holds.
    pub fn get(self) -> usize {
        // SAFETY: it is an element of `plugin_ctx`, made by `VRequest::slot`.
        unsafe { self.0.read() }.addr()
    }

    /// Whether it holds zero.
    pub fn is_clear(self) -> bool {
        self.get() == 0
    }

    /// Makes it hold zero again.
    pub fn clear(self) {
        self.set(0);
    }

    /// Makes it hold `word`.
    pub fn set(self, word: usize) {
        // SAFETY: as in `get`; nobody but the plugin looks into it.
        unsafe { self.0.write(std::ptr::without_provenance_mut(word)) }
    }
}

impl<'a> VRequest<'a> {
    /// # Safety
    /// `vr` is a live request during `'a`, and the calling thread is its worker's.
    pub(super) unsafe fn new(vr: *mut sys::liVRequest) -> Self {
        // SAFETY: the caller promises that it points at something.
        Self { vr: unsafe { NonNull::new_unchecked(vr) }, alive: PhantomData }
    }

    /// Its query string, as the client sent it, without the question mark.
    pub fn query(self) -> &'a [u8] {
        // SAFETY: `new` was promised a live request; only the request's own actions change its query string, one after
        // another.
        unsafe { value::bytes((*self.as_ptr()).request.uri.query) }.unwrap_or_default()
    }

    /// The name of its method, as the client sent it.
    pub fn method_name(self) -> &'a [u8] {
        // SAFETY: as in `query`; lighttpd2 sets it as the header of a request comes.
        unsafe { value::bytes((*self.as_ptr()).request.http_method_str) }.unwrap_or_default()
    }

    /// The host that it asks, without a port.
    pub fn host(self) -> &'a [u8] {
        // SAFETY: as in `query`.
        unsafe { value::bytes((*self.as_ptr()).request.uri.host) }.unwrap_or_default()
    }

    /// The path that it asks for, decoded.
    pub fn path(self) -> &'a [u8] {
        // SAFETY: as in `query`.
        unsafe { value::bytes((*self.as_ptr()).request.uri.path) }.unwrap_or_default()
    }

    /// The address of its client, without a port.
    pub fn client(self) -> &'a [u8] {
        // SAFETY: `new` was promised a live request, whose connection has that; only the request's own actions change it, one after
        // another.
        unsafe { value::bytes((*(*self.as_ptr()).coninfo).remote_addr_str) }.unwrap_or_default()
    }

    /// The number of its worker.
    pub fn worker(self) -> usize {
        // SAFETY: `new` was promised a live request, which has a worker.
        unsafe { (*(*self.as_ptr()).wrk).ndx as usize }
    }

    /// The value of one of its headers, whose name is compared without regard to case; one of them, where there are several.
    pub fn header(self, name: &str) -> Option<&'a [u8]> {
        // SAFETY: `new` was promised a live request on this thread; nothing changes its headers while an action runs.
        unsafe { header((*self.as_ptr()).request.headers, name) }
    }

    /// Whether its response has a header so far.
    pub fn has_response_header(self, name: &str) -> bool {
        // SAFETY: `new` was promised a live request on this thread.
        unsafe { header((*self.as_ptr()).response.headers, name) }.is_some()
    }

    /// What a pattern makes of it.
    pub fn evaluate(self, pattern: &Pattern) -> Vec<u8> {
        // SAFETY: `new` was promised a live request, which is this thread's, as its worker and the worker's scratch string are.
        unsafe { pattern.evaluate(self.as_ptr()) }
    }

    /// Its method, if it is a known one.
    pub fn method(self) -> Option<Method> {
        // SAFETY: `new` was promised a live request.
        Method::known(unsafe { (*self.as_ptr()).request.http_method })
    }

    /// The value that a boolean option has for it.
    pub fn boolean<M: Module>(self, plugin: Plugin<'_, M>, option: BooleanOption) -> bool {
        // SAFETY: as in `number`.
        unsafe { (*(*self.as_ptr()).options.add(plugin.option(option.0))).boolean != 0 }
    }

    /// The value that a number option has for it.
    pub fn number<M: Module>(self, plugin: Plugin<'_, M>, option: NumberOption) -> i64 {
        // SAFETY: `new` was promised a live request, which has a value for each option of each plugin.
        unsafe { (*(*self.as_ptr()).options.add(plugin.option(option.0))).number }
    }

    /// The value that a boxed option has for it, if any.
    pub fn boxed<M: Module, T: 'static>(self, plugin: Plugin<'a, M>, option: BoxedOption<T>) -> Option<&'a T> {
        // SAFETY: as in `number`; a value behind a pointer is what the plugin's parse function made, and stays until the
        // request is reset or another value is set, which no action does while it runs.
        unsafe {
            let value = (*(*self.as_ptr()).optionptrs.add(plugin.pointer_option(option.0))).as_ref()?;
            value.data.ptr.cast::<Option<Boxed>>().as_ref()?.as_ref()?.downcast_ref()
        }
    }

    /// The word that `plugin` keeps in it.
    pub fn slot<T: Module>(self, plugin: Plugin<'_, T>) -> Slot<'a> {
        // SAFETY: `new` was promised a live request, which has a slot for each plugin.
        unsafe { Slot(NonNull::new_unchecked((*(*self.as_ptr()).plugin_ctx).pdata.add(plugin.id())), PhantomData) }
    }

    /// Its counters; `None` where it is not connected to anything.
    ///
    /// # Safety
    /// They are read no more after `handle_vrclose` has returned for the request, or, where [`hear_tunnel`](Self::hear_tunnel)
    /// said so in there, after `handle_tunnel_end` has.
    pub unsafe fn counters(self) -> Option<LiveCounters> {
        // SAFETY: `new` was promised a live request, and the caller promises the rest.
        unsafe { LiveCounters::of(self.vr) }
    }

    /// What the module has at its worker.
    pub fn desk<M: Module>(self, plugin: Plugin<'a, M>) -> Option<Desk<'a, M>> {
        plugin.desk(self.worker())
    }

    /// Whether it has a connection of its own. One that Lua runs inside of another has none, and can end on any thread.
    pub fn has_connection(self) -> bool {
        // SAFETY: `new` was promised a live request.
        unsafe { !sys::li_connection_from_vrequest(self.as_ptr()).is_null() }
    }

    /// Lets the module [hear](Module::handle_response) when its response begins. To be asked once the plugin's slot of it is
    /// set. Nothing is heard where the response has begun, or has no connection of its own.
    pub fn hear_response<M: Module>(self, plugin: Plugin<'_, M>) {
        if !self.slot(plugin).is_clear() {
            // SAFETY: `new` was promised a live request on this thread.
            unsafe { response::listen(self.as_ptr(), plugin) };
        }
    }

    /// Where it has just become a connection of another protocol: lets the module [hear](Module::handle_tunnel_end) when that
    /// ends. To be asked in `handle_vrclose`. Whether it has; its [counters](Self::counters) go on then.
    pub fn hear_tunnel<M: Module>(self, plugin: Plugin<'_, M>, word: usize) -> bool {
        // SAFETY: `new` was promised a live request on this thread.
        unsafe { response::listen_to_tunnel(self.as_ptr(), plugin, word) }
    }

    /// The length of its response's body, as that says it.
    pub(super) fn response_length(self) -> Option<u64> {
        // SAFETY: `new` was promised a live request on this thread.
        let length = unsafe { header((*self.as_ptr()).response.headers, "Content-Length") }?;
        std::str::from_utf8(length).ok()?.trim().parse().ok()
    }

    /// The HTTP status of its response; 0 where none was chosen.
    pub fn status(self) -> i32 {
        // SAFETY: `new` was promised a live request.
        unsafe { (*self.as_ptr()).response.http_status }
    }

    /// Whether all that its connection was given has gone into the socket, or as many bytes of encryption. To be asked
    /// before it is reset.
    pub fn is_all_sent(self) -> bool {
        self.response().is_none_or(|response| {
            // SAFETY: `response` found the queue; `new` was promised a live request, which has its `coninfo`.
            unsafe { (*(*self.as_ptr()).coninfo).stats.bytes_out >= (*response.as_ptr()).bytes_in as u64 }
        })
    }

    /// Whether its response has come to its end. To be asked before it is reset.
    pub fn is_response_closed(self) -> bool {
        // SAFETY: `response` found the queue.
        self.response().is_some_and(|response| unsafe { (*response.as_ptr()).is_closed != 0 })
    }

    /// Whether something answers it already.
    pub fn is_handled(self) -> bool {
        // SAFETY: `new` was promised a live request on this thread.
        unsafe { sys::li_vrequest_is_handled(self.as_ptr()) != 0 }
    }

    /// Tells its environment something, which access logs and later patterns can have, and which backends get.
    pub fn set_environment(self, name: &str, value: &[u8]) {
        // SAFETY: `new` was promised a live request on this thread; lighttpd2 copies name and value, and forgets them as it resets the
        // request, which is after `handle_vrclose`.
        unsafe {
            let environment = &raw mut (*self.as_ptr()).env;
            sys::li_environment_set(environment, name.as_ptr().cast(), name.len(), value.as_ptr().cast(), value.len());
        }
    }

    /// Gives its response a header, instead of what it has of that name.
    pub fn set_response_header(self, name: &str, value: &[u8]) {
        self.put_response_header(sys::li_http_header_overwrite, name, value);
    }

    /// Gives its response one more value of a header.
    pub fn add_response_header(self, name: &str, value: &[u8]) {
        self.put_response_header(sys::li_http_header_append, name, value);
    }

    fn put_response_header(self, put: PutHeader, name: &str, value: &[u8]) {
        // SAFETY: `new` was promised a live request on this thread; `put` is one of two functions of lighttpd2's, which copy
        // name and value.
        unsafe {
            let headers = (*self.as_ptr()).response.headers;
            put(headers, name.as_ptr().cast(), name.len(), value.as_ptr().cast(), value.len());
        }
    }

    /// Answers it, or does nothing where something answers it already; whether it did.
    pub fn respond(self, status: i32, body: &[u8]) -> bool {
        let vr = self.as_ptr();
        // SAFETY: `new` was promised a live request on this thread. lighttpd2 copies the body; `direct_out` is there once
        // `li_vrequest_handle_direct` has agreed.
        unsafe {
            if sys::li_vrequest_handle_direct(vr) == 0 {
                return false;
            }
            (*vr).response.http_status = status;
            sys::li_chunkqueue_append_mem((*vr).direct_out, body.as_ptr().cast(), body.len() as sys::gssize);
        }
        true
    }

    /// The queue that its response goes through.
    fn response(self) -> Option<NonNull<sys::liChunkQueue>> {
        // SAFETY: `new` was promised a live request, which has its `coninfo`; `resp` is NULL or a stream with its queue.
        unsafe { NonNull::new((*NonNull::new((*(*self.as_ptr()).coninfo).resp)?.as_ptr()).out) }
    }

    pub(super) fn as_ptr(self) -> *mut sys::liVRequest {
        self.vr.as_ptr()
    }
}

/// `li_http_header_overwrite` or `li_http_header_append`.
type PutHeader = unsafe extern "C" fn(*mut sys::liHttpHeaders, *const sys::gchar, usize, *const sys::gchar, usize);

/// The value of a header.
///
/// # Safety
/// `headers` are a request's or a response's, which nobody changes during `'a`.
unsafe fn header<'a>(headers: *mut sys::liHttpHeaders, name: &str) -> Option<&'a [u8]> {
    // SAFETY: the caller promises it; lighttpd2 returns a header of them, or NULL.
    unsafe {
        let found = sys::li_http_header_lookup(headers, name.as_ptr().cast(), name.len()).as_ref()?;
        value::bytes(found.data)?.get(found.keylen as usize + ": ".len()..)
    }
}

impl Log for VRequest<'_> {
    #[track_caller]
    fn log(&self, level: Level, text: &str) {
        let vr = self.as_ptr();
        // SAFETY: `new` was promised a live request on this thread, which has a worker of a server.
        unsafe { log::write((*(*vr).wrk).srv, &raw mut (*vr).log_context, level, text) }
    }
}
