//! The functions of lighttpd2 that the module calls.

use crate::action::Parts;
use crate::buffer::{li_buffer_acquire, li_buffer_new_slice, li_buffer_release, li_chunkqueue_append_buffer};
use crate::headers::Headers;
use crate::jobs::{li_job_async, li_job_clear, li_job_init, li_job_ref, li_job_ref_release};
use crate::log::is_level;
use crate::names::{li_http_method_from_string, li_http_method_string, li_valuetype_string};
use crate::pattern::{li_pattern_eval, li_pattern_free, li_pattern_new, li_pattern_regex_cb};
use crate::server::StandInServer;
use crate::state::{Place, State};
use crate::stream::Stream;
use crate::waitqueue::{
    li_waitqueue_init, li_waitqueue_pop, li_waitqueue_push, li_waitqueue_stop, li_waitqueue_update,
};
use crate::watcher::{li_event_io_init, li_event_io_set_events, li_event_io_set_fd};
use libloading::os::unix::Library;
use lighttpd2::sys;
use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::process::abort;
use std::slice;

/// Ends the program: the module has done what lighttpd2 does not allow.
pub fn broken(what: &str) -> ! {
    eprintln!("standin: the module breaks a rule of lighttpd2: {what}");
    abort()
}

/// Names, each with a NUL, and addresses of all of them. Does not compile where one is defined otherwise than declared.
fn functions() -> [(&'static str, *const c_void); 46] {
    macro_rules! function {
        ($name:ident) => {{
            let [declared, _] = [sys::$name, $name];
            (concat!(stringify!($name), "\0"), declared as *const c_void)
        }};
    }
    [
        function!(li_plugin_register),
        function!(li_plugin_free),
        function!(li_action_new_function),
        function!(li_http_method_from_string),
        function!(li_http_method_string),
        function!(li_valuetype_string),
        function!(li_http_header_lookup),
        function!(li_http_header_append),
        function!(li_http_header_overwrite),
        function!(li_environment_set),
        function!(li_pattern_new),
        function!(li_pattern_free),
        function!(li_pattern_eval),
        function!(li_pattern_regex_cb),
        function!(li_connection_from_vrequest),
        function!(li_vrequest_is_handled),
        function!(li_vrequest_handle_direct),
        function!(li_vrequest_handle_indirect),
        function!(li_vrequest_indirect_connect),
        function!(li_vrequest_indirect_headers_ready),
        function!(li_vrequest_joblist_append),
        function!(li_stream_init),
        function!(li_stream_release),
        function!(li_stream_null_new),
        function!(li_stream_notify_later),
        function!(li_stream_disconnect_dest),
        function!(li_streams_empty),
        function!(li_job_init),
        function!(li_job_clear),
        function!(li_job_ref),
        function!(li_job_ref_release),
        function!(li_job_async),
        function!(li_chunkqueue_append_mem),
        function!(li_buffer_new_slice),
        function!(li_buffer_acquire),
        function!(li_buffer_release),
        function!(li_chunkqueue_append_buffer),
        function!(li_waitqueue_init),
        function!(li_waitqueue_stop),
        function!(li_waitqueue_update),
        function!(li_waitqueue_push),
        function!(li_waitqueue_pop),
        function!(li_event_io_init),
        function!(li_event_io_set_fd),
        function!(li_event_io_set_events),
        ("li_log_write\0", sys::li_log_write as *const c_void),
    ]
}

/// Whether a library that this program loads finds all of them.
pub fn check() -> Result<(), String> {
    let program = Library::this();
    for (name, address) in functions() {
        // SAFETY: it is only compared.
        let found = unsafe { program.get::<*const c_void>(name.as_bytes()) };
        if !found.is_ok_and(|found| *found == address) {
            return Err(format!(
                "this program does not export {}: link it with -rdynamic",
                name.trim_end_matches('\0')
            ));
        }
    }
    Ok(())
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_plugin_register(
    srv: *mut sys::liServer,
    name: *const sys::gchar,
    init: sys::liPluginInitCB,
    userdata: sys::gpointer,
) -> *mut sys::liPlugin {
    // SAFETY: the caller promises it.
    unsafe { StandInServer::from_abi(srv).register_plugin(name, init, userdata) }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_plugin_free(srv: *mut sys::liServer, p: *mut sys::liPlugin) {
    // SAFETY: the caller promises it.
    unsafe { StandInServer::from_abi(srv) }.free_plugin(p);
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_action_new_function(
    func: sys::liActionFuncCB,
    fcleanup: sys::liActionCleanupCB,
    ffree: sys::liActionFreeCB,
    param: sys::gpointer,
) -> *mut sys::liAction {
    Parts { function: func, cleanup: fcleanup, free: ffree, param }.into_abi()
}

/// So many bytes; where there are none, `start` does not matter.
///
/// # Safety
/// `start` points at as many bytes, which stay as they are during `'a`.
unsafe fn bytes<'a>(start: *const sys::gchar, length: usize) -> &'a [u8] {
    // SAFETY: the caller promises them.
    if length == 0 { &[] } else { unsafe { slice::from_raw_parts(start.cast(), length) } }
}

/// NULL where there is no such header.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_http_header_lookup(
    headers: *mut sys::liHttpHeaders,
    key: *const sys::gchar,
    keylen: usize,
) -> *mut sys::liHttpHeader {
    // SAFETY: the caller promises the headers of a request, and as many bytes.
    unsafe { Headers::from_abi(headers).lookup(bytes(key, keylen)) }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_http_header_append(
    headers: *mut sys::liHttpHeaders,
    key: *const sys::gchar,
    keylen: usize,
    val: *const sys::gchar,
    valuelen: usize,
) {
    // SAFETY: the caller promises the headers of a request, and as many bytes.
    unsafe { Headers::from_abi(headers).append(bytes(key, keylen), bytes(val, valuelen)) };
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_http_header_overwrite(
    headers: *mut sys::liHttpHeaders,
    key: *const sys::gchar,
    keylen: usize,
    val: *const sys::gchar,
    valuelen: usize,
) {
    // SAFETY: the caller promises the headers of a request, and as many bytes.
    unsafe { Headers::from_abi(headers).overwrite(bytes(key, keylen), bytes(val, valuelen)) };
}

/// # Safety
/// As lighttpd2's, of a request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_environment_set(
    env: *mut sys::liEnvironment,
    key: *const sys::gchar,
    keylen: usize,
    val: *const sys::gchar,
    valuelen: usize,
) {
    // SAFETY: the caller promises the environment of a request, which is a part of it, and as many bytes.
    unsafe {
        let vr = env.byte_sub(offset_of!(sys::liVRequest, env)).cast::<sys::liVRequest>();
        let (key, value) = (bytes(key, keylen).to_vec(), bytes(val, valuelen).to_vec());
        State::of_request(vr).environment.borrow_mut().insert(key, value);
    }
}

/// NULL for a request that runs inside another.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_connection_from_vrequest(vr: *mut sys::liVRequest) -> *mut sys::liConnection {
    // SAFETY: the caller promises a request.
    unsafe { State::connection_of(vr) }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_vrequest_is_handled(vr: *mut sys::liVRequest) -> sys::gboolean {
    // SAFETY: the caller promises a request.
    unsafe { State::of_request(vr) }.is_handled().into()
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_vrequest_handle_direct(vr: *mut sys::liVRequest) -> sys::gboolean {
    // SAFETY: the caller promises a request.
    unsafe { State::handle_direct(vr) }.into()
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_chunkqueue_append_mem(cq: *mut sys::liChunkQueue, mem: *const c_void, len: sys::gssize) {
    let Ok(length) = usize::try_from(len) else { broken("a piece of memory of negative length") };
    // SAFETY: the caller promises a queue, and as many bytes.
    unsafe { Place::append(cq, bytes(mem.cast(), length)) };
}

/// FALSE where it is handled already.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_vrequest_handle_indirect(vr: *mut sys::liVRequest, p: *mut sys::liPlugin) -> sys::gboolean {
    // SAFETY: the caller promises a request.
    let state = unsafe { State::of_request(vr) };
    if !p.is_null() && p != state.server().plugin() {
        broken("a request is handled for a plugin that is not registered");
    }
    state.handle_indirect().into()
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_vrequest_indirect_connect(
    vr: *mut sys::liVRequest,
    backend_drain: *mut sys::liStream,
    backend_source: *mut sys::liStream,
) {
    // SAFETY: the caller promises a request.
    let state = unsafe { State::of_request(vr) };
    state.connect_with(Stream::from_abi(backend_drain), Stream::from_abi(backend_source));
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_vrequest_indirect_headers_ready(vr: *mut sys::liVRequest) {
    // SAFETY: the caller promises a request.
    unsafe { State::of_request(vr) }.set_headers_ready();
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_vrequest_joblist_append(vr: *mut sys::liVRequest) {
    // SAFETY: the caller promises a request.
    unsafe { State::of_request(vr) }.perform_later();
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_stream_init(stream: *mut sys::liStream, loop_: *mut sys::liEventLoop, cb: sys::liStreamCB) {
    // SAFETY: the caller promises a worker's loop and room for a stream.
    unsafe { Stream::init(stream, loop_, cb) };
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_stream_release(stream: *mut sys::liStream) {
    Stream::from_abi(stream).release();
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_stream_null_new(loop_: *mut sys::liEventLoop) -> *mut sys::liStream {
    // SAFETY: the caller promises a worker's loop.
    unsafe { Stream::null(loop_) }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_stream_notify_later(stream: *mut sys::liStream) {
    if let Some(request) = Stream::from_abi(stream).connected_request() {
        // SAFETY: the stream is disconnected before the request goes.
        let state = unsafe { State::checked(request) };
        state.event_loop().jobs.go_on(state);
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_stream_disconnect_dest(stream: *mut sys::liStream) {
    if let Some(request) = Stream::from_abi(stream).connected_request() {
        // SAFETY: as in `li_stream_notify_later`.
        unsafe { State::checked(request) }.out.disconnect_feeder();
    }
}

/// # Safety
/// As lighttpd2's; here `first` is a stream of the module's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_streams_empty(first: *mut sys::liStream, last: *mut sys::liStream) -> sys::gboolean {
    let stream = Stream::from_abi(first);
    let is_rest_empty = || {
        let Some(request) = stream.connected_request().filter(|_| first != last) else { return true };
        // SAFETY: as in `li_stream_notify_later`.
        let out = &unsafe { State::checked(request) }.out;
        out.given().get() == out.sent().get()
    };
    (stream.is_empty() && is_rest_empty()).into()
}

/// Where `li_log_write` passes its text.
///
/// # Safety
/// `srv` is a server, `wrk` and `context` are NULL or a worker and a context of one of its requests, `text` is of that
/// length.
#[unsafe(no_mangle)]
unsafe extern "C" fn standin_log(
    srv: *mut sys::liServer,
    wrk: *mut sys::liWorker,
    context: *mut sys::liLogContext,
    level: sys::liLogLevel,
    flags: sys::guint,
    text: *const c_char,
    length: usize,
) {
    // SAFETY: the caller promises a server.
    let server = unsafe { StandInServer::from_abi(srv) };
    // SAFETY: the caller promises a worker or NULL.
    if !wrk.is_null() && unsafe { (*wrk).srv } != srv {
        broken("a log line for a worker of another server");
    }
    // SAFETY: the caller promises a context or NULL.
    if !context.is_null() && !unsafe { (*context).log_map }.is_null() {
        broken("a log line for something that is no log context");
    }
    if !is_level(level) {
        broken("a log line of no known level");
    }
    // SAFETY: the caller promises as many bytes.
    let text = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    server.log.line(&String::from_utf8_lossy(text), flags & sys::LI_LOG_FLAG_TIMESTAMP != 0);
}
