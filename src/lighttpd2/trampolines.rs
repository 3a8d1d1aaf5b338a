//! What lighttpd2 calls, for any module: each function converts its arguments, guards against a panic and delegates. Outside
//! of a guard stands only what cannot panic.
//!
//! "lighttpd2 passes" in a proof stands for: this is a callback that lighttpd2 calls with live objects of these types, on
//! the thread that they belong to, and they stay so until the callback returns.

use super::guard::guard;
use super::plugin::{Data, free_data, option_rows};
use super::response::stop_listening;
use super::{
    Action, ActionFn, Boxed, Connection, Desk, Level, Log, Module, OptionKind, OptionRow, Performed, Plugin, Refusal,
    Server, Setup, VRequest, Value, Wait, sys,
};
use std::ffi::{CStr, c_void};
use std::ptr;

/// What an action of lighttpd2's has as its parameter.
struct BoundAction<M: 'static> {
    plugin: *mut sys::liPlugin,
    name: &'static CStr,
    function: ActionFn<M>,
}

pub(super) unsafe extern "C" fn free<M: Module>(srv: *mut sys::liServer, plugin: *mut sys::liPlugin) {
    guard(
        // SAFETY: lighttpd2 passes the plugin, and frees it afterwards. The workers were freed before, and with them every
        // request.
        || unsafe { free_data::<M>(plugin) },
        |panic| log_failure(srv, M::NAME, &format!("internal error: {panic}")),
    );
}

pub(super) unsafe extern "C" fn handle_prepare<M: Module>(srv: *mut sys::liServer, plugin: *mut sys::liPlugin) {
    // SAFETY: lighttpd2 passes the server and this plugin.
    let (server, module) = unsafe { (Server::new(srv), Plugin::<M>::new(plugin).module()) };
    let Some(server) = server else { return };
    guard(|| module.prepare(server, server.check_workers()), |panic| report::<M>(srv, module, M::NAME, panic));
}

pub(super) unsafe extern "C" fn handle_prepare_worker<M: Module>(
    srv: *mut sys::liServer,
    plugin: *mut sys::liPlugin,
    worker: *mut sys::liWorker,
) {
    // SAFETY: lighttpd2 passes the server and this plugin, whose data are freed after the workers.
    unsafe {
        let data = Plugin::<M>::new(plugin).data();
        let Some(server) = Server::new(srv).filter(|server| server.check_workers().is_ok()) else { return };
        guard(
            || {
                data.timers.start::<M>(server, worker, plugin);
                data.desks.set_up(server, worker, plugin);
                let plugin = Plugin::new(plugin);
                data.desks.at((*worker).ndx as usize).into_iter().for_each(|desk| M::started(plugin, desk));
            },
            |panic| report::<M>(srv, &data.module, M::NAME, panic),
        );
    }
}

pub(super) unsafe extern "C" fn handle_worker_stop<M: Module>(
    srv: *mut sys::liServer,
    plugin: *mut sys::liPlugin,
    worker: *mut sys::liWorker,
) {
    // SAFETY: lighttpd2 passes this plugin and a worker.
    unsafe {
        let data: &Data<M> = Plugin::new(plugin).data();
        let stop = || {
            data.timers.stop(worker);
            data.desks.clear(worker);
        };
        guard(stop, |panic| report::<M>(srv, &data.module, M::NAME, panic));
    }
}

pub(super) unsafe extern "C" fn handle_stop_listen<M: Module>(srv: *mut sys::liServer, plugin: *mut sys::liPlugin) {
    // SAFETY: lighttpd2 passes this plugin.
    let plugin = unsafe { Plugin::<M>::new(plugin) };
    guard(|| M::stopping(plugin), |panic| report::<M>(srv, plugin.module(), M::NAME, panic));
}

pub(super) unsafe extern "C" fn handle_close<M: Module>(
    connection: *mut sys::liConnection,
    plugin: *mut sys::liPlugin,
) {
    // SAFETY: lighttpd2 passes a connection and this plugin, which `close_tracked` takes too.
    unsafe {
        let vr = Connection::new(connection).main_vrequest();
        if !vr.slot(Plugin::<M>::new(plugin)).is_clear() {
            close_tracked::<M>(connection, plugin);
        }
    }
}

pub(super) unsafe extern "C" fn handle_vrclose<M: Module>(vr: *mut sys::liVRequest, plugin: *mut sys::liPlugin) {
    // SAFETY: lighttpd2 passes a request and this plugin, which `vrclose_tracked` takes too.
    unsafe {
        if !VRequest::new(vr).slot(Plugin::<M>::new(plugin)).is_clear() {
            vrclose_tracked::<M>(vr, plugin);
        }
    }
}

/// The rest of `handle_close`: apart, so that requests that do not concern the module do not pay for its stack frame.
#[inline(never)]
unsafe extern "C" fn close_tracked<M: Module>(connection: *mut sys::liConnection, plugin: *mut sys::liPlugin) {
    // SAFETY: `handle_close` passes what it got.
    let (connection, plugin) = unsafe { (Connection::new(connection), Plugin::<M>::new(plugin)) };
    guard(
        || M::handle_close(plugin, connection),
        |panic| report_in(connection.main_vrequest(), plugin, M::NAME, panic),
    );
}

/// The rest of `handle_vrclose`, likewise.
#[inline(never)]
unsafe extern "C" fn vrclose_tracked<M: Module>(vr: *mut sys::liVRequest, plugin: *mut sys::liPlugin) {
    // SAFETY: `handle_vrclose` passes what it got.
    let (vr, plugin) = unsafe { (VRequest::new(vr), Plugin::<M>::new(plugin)) };
    // SAFETY: as above.
    unsafe { stop_listening::<M>(vr.as_ptr(), plugin) };
    guard(|| M::handle_vrclose(plugin, vr), |panic| report_in(vr, plugin, M::NAME, panic));
}

pub(super) unsafe extern "C" fn set_up<M: Module>(
    srv: *mut sys::liServer,
    plugin: *mut sys::liPlugin,
    value: *mut sys::liValue,
    row: *mut c_void,
) -> sys::gboolean {
    // SAFETY: lighttpd2 passes this plugin, a value or NULL, and what `Data::default` gave it for this row.
    let (module, value, row) =
        unsafe { (Plugin::<M>::new(plugin).module(), Value::new(value), &*row.cast::<Setup<M>>()) };
    configured(srv, row.name, || (row.set)(module, value)).is_some().into()
}

pub(super) unsafe extern "C" fn parse_number<M: Module>(
    srv: *mut sys::liServer,
    _wrk: *mut sys::liWorker,
    _plugin: *mut sys::liPlugin,
    number: usize,
    value: *mut sys::liValue,
    parsed: *mut sys::liOptionValue,
) -> sys::gboolean {
    let Some(OptionRow { name, kind: OptionKind::Number(_, parse) }) = option_rows::<M>(false).nth(number) else {
        return 0;
    };
    // SAFETY: lighttpd2 passes a value, or NULL for the default.
    let value = unsafe { Value::new(value) };
    let Some(parsed_number) = configured(srv, name, || parse(value)) else { return 0 };
    // SAFETY: lighttpd2 passes the place for the result.
    unsafe { (*parsed).number = parsed_number };
    1
}

pub(super) unsafe extern "C" fn parse_boxed<M: Module>(
    srv: *mut sys::liServer,
    _wrk: *mut sys::liWorker,
    _plugin: *mut sys::liPlugin,
    number: usize,
    value: *mut sys::liValue,
    parsed: *mut sys::gpointer,
) -> sys::gboolean {
    let Some(OptionRow { name, kind: OptionKind::Boxed(_, parse) }) = option_rows::<M>(true).nth(number) else {
        return 0;
    };
    // SAFETY: lighttpd2 passes the server, and a value, or NULL for the default.
    let (server, value) = unsafe { (Server::new(srv), Value::new(value)) };
    let Some(server) = server else { return 0 };
    let Some(boxed) = configured(srv, name, || parse(server, value)) else { return 0 };
    // Never NULL: lighttpd2 looks at what an action sets without asking.
    let boxed = Box::into_raw(Box::<Option<Boxed>>::new(boxed));
    // SAFETY: lighttpd2 passes the place for the result.
    unsafe { *parsed = boxed.cast() };
    1
}

pub(super) unsafe extern "C" fn free_boxed<M: Module>(
    srv: *mut sys::liServer,
    _plugin: *mut sys::liPlugin,
    _number: usize,
    boxed: sys::gpointer,
) {
    guard(
        || {
            if !boxed.is_null() {
                // SAFETY: lighttpd2 passes what `parse_boxed` made, once, when nobody has it any more.
                drop(unsafe { Box::from_raw(boxed.cast::<Option<Boxed>>()) });
            }
        },
        |panic| log_failure(srv, M::NAME, &format!("internal error: {panic}")),
    );
}

pub(super) unsafe extern "C" fn create_action<M: Module>(
    srv: *mut sys::liServer,
    _wrk: *mut sys::liWorker,
    plugin: *mut sys::liPlugin,
    value: *mut sys::liValue,
    row: *mut c_void,
) -> *mut sys::liAction {
    // SAFETY: lighttpd2 passes its plugin, a value or NULL, and what `Data::default` gave it for this row.
    let (module, value, row) = unsafe { (Plugin::<M>::new(plugin), Value::new(value), &*row.cast::<Action<M>>()) };
    let Some(function) = configured(srv, row.name, || (row.create)(module.module(), value)) else {
        return ptr::null_mut();
    };
    let bound = Box::into_raw(Box::new(BoundAction { plugin, name: row.name, function }));
    // SAFETY: these functions take a bound, whose plugin outlives its actions; `free_action` frees it.
    unsafe {
        sys::li_action_new_function(Some(perform::<M>), Some(clean_up::<M>), Some(free_action::<M>), bound.cast())
    }
}

unsafe extern "C" fn perform<M: Module>(
    vr: *mut sys::liVRequest,
    bound: *mut c_void,
    context: *mut *mut c_void,
) -> sys::liHandlerResult {
    // SAFETY: lighttpd2 passes a request, what `create_action` gave to the action, and a place that is NULL at first.
    let (vr, plugin, bound, waited) = unsafe {
        let bound = &*bound.cast::<BoundAction<M>>();
        (VRequest::new(vr), Plugin::new(bound.plugin), bound, Wait::from_context(*context))
    };
    let performed = guard(
        || (bound.function)(plugin, vr, waited),
        |panic| {
            report_in(vr, plugin, bound.name, panic);
            Performed::Done
        },
    );
    let performed = match (performed, waited) {
        (Performed::Done, None) => return sys::LI_HANDLER_GO_ON,
        _ => settle(plugin, vr, waited, performed),
    };
    let (kept, result) = match performed {
        Performed::Done => (ptr::null_mut(), sys::LI_HANDLER_GO_ON),
        Performed::Waits(wait) => (wait.into_context(), sys::LI_HANDLER_WAIT_FOR_EVENT),
    };
    // SAFETY: as above.
    unsafe { *context = kept };
    result
}

/// Notes what a request waits for now. It waits for nothing where its worker stops.
#[cold]
fn settle<M: Module>(plugin: Plugin<'_, M>, vr: VRequest<'_>, waited: Option<Wait>, performed: Performed) -> Performed {
    let Some(desk) = vr.desk(plugin) else { return Performed::Done };
    if let Some(waited) = waited.filter(|waited| performed != Performed::Waits(*waited)) {
        end_wait(plugin, vr, desk, waited);
    }
    if let Performed::Waits(wait) = performed {
        desk.waits().begin(wait, vr);
    }
    performed
}

/// A request waits for that no more.
fn end_wait<M: Module>(plugin: Plugin<'_, M>, vr: VRequest<'_>, desk: Desk<'_, M>, wait: Wait) {
    desk.waits().end(wait);
    guard(|| M::wait_over(plugin, desk, wait), |panic| report_in(vr, plugin, M::NAME, panic));
}

/// Called by lighttpd2 where a request ends that waits in an action.
unsafe extern "C" fn clean_up<M: Module>(
    vr: *mut sys::liVRequest,
    bound: *mut c_void,
    context: *mut c_void,
) -> sys::liHandlerResult {
    // SAFETY: lighttpd2 passes what `perform` got and has left.
    let (vr, plugin, wait) = unsafe {
        let bound = &*bound.cast::<BoundAction<M>>();
        (VRequest::new(vr), Plugin::<M>::new(bound.plugin), Wait::from_context(context))
    };
    if let (Some(wait), Some(desk)) = (wait, vr.desk(plugin)) {
        end_wait(plugin, vr, desk, wait);
    }
    sys::LI_HANDLER_GO_ON
}

unsafe extern "C" fn free_action<M: Module>(srv: *mut sys::liServer, bound: *mut c_void) {
    guard(
        // SAFETY: lighttpd2 passes what `create_action` made, once.
        || drop(unsafe { Box::from_raw(bound.cast::<BoundAction<M>>()) }),
        |panic| log_failure(srv, M::NAME, &format!("internal error: {panic}")),
    );
}

/// What `configure` makes; else `None`, and the reason in the log.
fn configured<T>(srv: *mut sys::liServer, name: &CStr, configure: impl FnOnce() -> Result<T, Refusal>) -> Option<T> {
    guard(
        || configure().map_err(|refusal| log_error(srv, &refusal.to_string())).ok(),
        |panic| {
            log_failure(srv, name, &format!("internal error: {panic}"));
            None
        },
    )
}

/// Says what became of a panic in a module's function.
pub(super) fn report<M: Module>(srv: *mut sys::liServer, module: &M, what: &CStr, panic: &str) {
    let consequence = module.panicked(what);
    log_failure(srv, what, &format!("internal error: {panic}{consequence}"));
}

pub(super) fn report_in<M: Module>(vr: VRequest<'_>, plugin: Plugin<'_, M>, what: &CStr, panic: &str) {
    let consequence = plugin.module().panicked(what);
    vr.log(Level::Error, &format!("{}: internal error: {panic}{consequence}", what.to_string_lossy()));
}

fn log_failure(srv: *mut sys::liServer, what: &CStr, how: &str) {
    log_error(srv, &format!("{}: {how}", what.to_string_lossy()));
}

fn log_error(srv: *mut sys::liServer, text: &str) {
    // SAFETY: only callbacks call this, with the server that lighttpd2 passes.
    if let Some(server) = unsafe { Server::new(srv) } {
        server.log(Level::Error, text);
    }
}
