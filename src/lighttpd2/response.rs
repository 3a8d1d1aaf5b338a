//! Hears of the responses of tracked requests as they go.
//!
//! lighttpd2 has no hook for that. What a connection sends is a stream with one callback, which gets an event when the response
//! begins, and when the way to the client ends. For a request that asks for it, the callback is one of these, which lets the
//! connection's own do its work and then tells the module; it is put back as soon as there is nothing more to hear.

use super::guard::guard;
use super::trampolines::report_in;
use super::{Closing, Module, Plugin, VRequest, sys};
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

type Callback = unsafe extern "C" fn(*mut sys::liStream, sys::liStreamEvent);

/// The callback of all connections of the program: lighttpd2 has one for them.
static ORIGINAL: OnceLock<Callback> = OnceLock::new();

/// The plugins of this library, by their servers: a stream does not tell whose it is.
static PLUGINS: RwLock<Vec<Registered>> = RwLock::new(Vec::new());

#[derive(PartialEq, Eq)]
struct Registered {
    module: TypeId,
    server: usize,
    /// Its address.
    plugin: usize,
}

/// What a plugin knows of the streams that it listens to.
pub(super) struct Ears {
    /// What it puts in the place of a connection's own callback: kept, since a function need not have one address only.
    response: Callback,
    /// Connections that were upgraded, and what the module wants to know again when they end.
    tunnels: Mutex<HashMap<usize, usize>>,
}

impl Ears {
    pub fn new<M: Module>() -> Self {
        Self { response: response_event::<M>, tunnels: Mutex::default() }
    }
}

/// How a response begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// All of it is there, or its Content-Length says how much it will be: so many bytes, headers included.
    Sized(u64),
    /// Nobody has said how long it will be.
    Unsized,
}

/// A server has a plugin from now on.
pub(super) fn register<M: Module>(server: *mut sys::liServer, plugin: *mut sys::liPlugin) {
    let registered =
        Registered { module: TypeId::of::<M>(), server: server.addr(), plugin: plugin.expose_provenance() };
    PLUGINS.write().unwrap_or_else(PoisonError::into_inner).push(registered);
}

/// A plugin is gone.
pub(super) fn unregister(plugin: *mut sys::liPlugin) {
    let mut plugins = PLUGINS.write().unwrap_or_else(PoisonError::into_inner);
    plugins.retain(|one| one.plugin != plugin.addr());
    // Nothing else frees it when the library is unloaded.
    plugins.shrink_to_fit();
}

/// The plugin of a connection's server.
///
/// # Safety
/// `con` is a live connection during `'a`.
unsafe fn plugin_of<'a, M: Module>(con: *mut sys::liConnection) -> Option<Plugin<'a, M>> {
    // SAFETY: the caller promises a connection, whose request has a worker of a server.
    let server = unsafe { (*(*(*con).mainvr).wrk).srv }.addr();
    let plugins = PLUGINS.read().unwrap_or_else(PoisonError::into_inner);
    let found = plugins.iter().find(|one| one.server == server && one.module == TypeId::of::<M>())?;
    // SAFETY: it was registered by `fill_in` and is not freed before the connections of its server are.
    Some(unsafe { Plugin::new(std::ptr::with_exposed_provenance_mut(found.plugin)) })
}

/// Lets the module hear when the response to a request begins, if it has a connection of its own and has not begun.
///
/// # Safety
/// `vr` is a live request of the calling thread's worker, whose slot of `plugin` is set.
pub(super) unsafe fn listen<M: Module>(vr: *mut sys::liVRequest, plugin: Plugin<'_, M>) {
    // SAFETY: the caller promises a request; its connection lives longer, and only this thread uses its stream.
    unsafe {
        let con = sys::li_connection_from_vrequest(vr);
        if con.is_null() || (*con).response_headers_sent != 0 {
            return;
        }
        let Some(current) = (*con).out.cb else { return };
        if is(&(*con).out, Some(*ORIGINAL.get_or_init(|| current))) {
            (*con).out.cb = Some(plugin.data().ears.response);
        }
    }
}

/// Puts a connection's own callback back, if it is not there.
///
/// # Safety
/// As for [`listen`].
pub(super) unsafe fn stop_listening<M: Module>(vr: *mut sys::liVRequest, plugin: Plugin<'_, M>) {
    // SAFETY: as in `listen`.
    unsafe {
        let con = sys::li_connection_from_vrequest(vr);
        if !con.is_null() && is(&(*con).out, Some(plugin.data().ears.response)) {
            (*con).out.cb = ORIGINAL.get().copied();
        }
    }
}

/// Where the request has just become a connection of another protocol: lets the module hear when that ends, and know `word`
/// again then. Whether it has.
///
/// # Safety
/// As for [`listen`], within `handle_vrclose`.
pub(super) unsafe fn listen_to_tunnel<M: Module>(vr: *mut sys::liVRequest, plugin: Plugin<'_, M>, word: usize) -> bool {
    // SAFETY: as in `listen`.
    unsafe {
        let con = sys::li_connection_from_vrequest(vr);
        let ears = &plugin.data().ears;
        if con.is_null() || (*con).state != sys::LI_CON_STATE_UPGRADED || !is(&(*con).out, ORIGINAL.get().copied()) {
            return false;
        }
        ears.tunnels.lock().unwrap_or_else(PoisonError::into_inner).insert(con.addr(), word);
        (*con).out.cb = Some(tunnel_event::<M>);
        true
    }
}

/// Whether that is a stream's callback.
fn is(stream: &sys::liStream, callback: Option<Callback>) -> bool {
    stream.cb.zip(callback).is_some_and(|(one, other)| std::ptr::fn_addr_eq(one, other))
}

/// The connection whose response a stream is.
///
/// # Safety
/// `stream` is the response of a connection.
unsafe fn connection(stream: *mut sys::liStream) -> *mut sys::liConnection {
    // SAFETY: the caller promises that the stream is that member of a connection.
    unsafe { stream.byte_sub(std::mem::offset_of!(sys::liConnection, out)).cast() }
}

/// What the callback of a tracked request's response does until it begins.
unsafe extern "C" fn response_event<M: Module>(stream: *mut sys::liStream, event: sys::liStreamEvent) {
    // SAFETY: `listen` has put this into the response of a connection, and lighttpd2 calls it on the connection's thread. The
    // memory of a connection stays until its loop has done something else, whatever the event brings about.
    unsafe {
        let con = connection(stream);
        let Some(original) = ORIGINAL.get() else { return };
        let begins = event == sys::LI_STREAM_CONNECTED_SOURCE;
        let Some(plugin) = begins.then(|| plugin_of::<M>(con)).flatten() else { return original(stream, event) };
        (*stream).cb = Some(*original);
        let body_before = given_by_source(stream);
        let vr = VRequest::new((*con).mainvr);
        let word = vr.slot(plugin).get();
        original(stream, event);
        // What goes into the socket at once has ended by now, and `handle_vrclose` has been called; another request may be there.
        if (*con).response_headers_sent == 0 || word == 0 || vr.slot(plugin).get() != word {
            return;
        }
        let beginning = beginning(con, vr, body_before);
        guard(|| M::handle_response(plugin, vr, beginning), |panic| report_in(vr, plugin, M::NAME, panic));
    }
}

/// Bytes that what feeds a response has given it so far.
///
/// # Safety
/// `stream` is a response, on its thread.
unsafe fn given_by_source(stream: *mut sys::liStream) -> i64 {
    // SAFETY: the caller promises a stream, whose source is NULL or a stream with its queue.
    unsafe { (*stream).source.as_ref().map_or(0, |source| (*source.out).bytes_out) }
}

/// How a response has begun.
///
/// # Safety
/// `con` is a connection whose response has just begun, on its thread, `vr` its request, and `body_before` what had been
/// [given](given_by_source) of its body before.
unsafe fn beginning(con: *mut sys::liConnection, vr: VRequest<'_>, body_before: i64) -> Beginning {
    // SAFETY: the caller promises it. A source that is still connected has its queue.
    unsafe {
        let given = u64::try_from((*(*con).out.out).bytes_in).unwrap_or(0);
        if (*con).out_has_all_data != 0 {
            return Beginning::Sized(given);
        }
        let (Some(length), Some(source)) = (vr.response_length(), (*con).out.source.as_ref()) else {
            return Beginning::Unsized;
        };
        let fed = (*source.out).bytes_out - body_before;
        Beginning::Sized(given.saturating_sub(u64::try_from(fed).unwrap_or(0)).saturating_add(length))
    }
}

/// What the callback of an upgraded connection does until that ends.
unsafe extern "C" fn tunnel_event<M: Module>(stream: *mut sys::liStream, event: sys::liStreamEvent) {
    // SAFETY: as in `response_event`: `listen_to_tunnel` has put it there.
    unsafe {
        let con = connection(stream);
        let Some(original) = ORIGINAL.get() else { return };
        let closing = tunnel_closing(con, event);
        if let Some((closing, plugin)) = closing.and_then(|closing| Some((closing, plugin_of::<M>(con)?))) {
            (*stream).cb = Some(*original);
            let word = plugin.data().ears.tunnels.lock().unwrap_or_else(PoisonError::into_inner).remove(&con.addr());
            let vr = VRequest::new((*con).mainvr);
            if let Some(word) = word {
                guard(
                    || M::handle_tunnel_end(plugin, vr, word, closing),
                    |panic| report_in(vr, plugin, M::NAME, panic),
                );
            }
        }
        original(stream, event);
    }
}

/// How an event ends an upgraded connection, if it does.
///
/// # Safety
/// `con` is an upgraded connection, on its thread.
unsafe fn tunnel_closing(con: *mut sys::liConnection, event: sys::liStreamEvent) -> Option<Closing> {
    // SAFETY: the caller promises a connection.
    let con = unsafe { &*con };
    match event {
        // The backend's side is gone, and has not said that it is at its end.
        sys::LI_STREAM_DISCONNECTED_SOURCE if con.out_has_all_data == 0 && con.state == sys::LI_CON_STATE_UPGRADED => {
            Some(Closing::Server)
        }
        // The client's side is gone. Where the client has closed it, or the backend's side has come to its end before, that is
        // how such a connection ends; lighttpd2 resets those that are left as it stops, and no others.
        sys::LI_STREAM_DISCONNECTED_DEST if con.out_has_all_data == 0 && con.state == sys::LI_CON_STATE_DEAD => {
            Some(Closing::Server)
        }
        sys::LI_STREAM_DISCONNECTED_DEST => Some(Closing::Complete),
        // Before its queue is gone, `LI_STREAM_DISCONNECTED_DEST` has come in any case: a connection lets go of its socket first.
        _ => None,
    }
}
