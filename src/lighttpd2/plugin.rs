//! A module's plugin, as lighttpd2 keeps it.

use super::desk::Desks;
use super::response::{self, Ears};
use super::timer::Timers;
use super::trampolines as call;
use super::{Desk, Module, OptionKind, OptionRow, sys};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// A plugin of the module `M`.
pub struct Plugin<'a, M> {
    plugin: NonNull<sys::liPlugin>,
    module: PhantomData<&'a M>,
}

impl<M> Clone for Plugin<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Plugin<'_, M> {}

/// What a plugin's `data` points at: the module, and what lighttpd2 has pointers into.
pub(super) struct Data<M: Module> {
    pub module: M,
    pub timers: Timers,
    pub ears: Ears,
    pub desks: Desks<M>,
    /// These lists end with an entry without a name.
    options: Vec<sys::liPluginOption>,
    pointer_options: Vec<sys::liPluginOptionPtr>,
    actions: Vec<sys::liPluginAction>,
    setups: Vec<sys::liPluginSetup>,
}

// SAFETY: the lists hold names and rows of tables, which are constants; lighttpd2 alone reads them.
unsafe impl<M: Module> Send for Data<M> {}
// SAFETY: as above.
unsafe impl<M: Module> Sync for Data<M> {}

impl<'a, M: Module> Plugin<'a, M> {
    /// # Safety
    /// `plugin` was filled in by [`fill_in`] for this module, and stays registered during `'a`.
    pub(super) unsafe fn new(plugin: *mut sys::liPlugin) -> Self {
        // SAFETY: the caller promises that it points at something.
        Self { plugin: unsafe { NonNull::new_unchecked(plugin) }, module: PhantomData }
    }

    /// The module.
    pub fn module(self) -> &'a M {
        &self.data().module
    }

    /// What the module has at a worker, if it is the calling thread's.
    pub fn desk(self, worker: usize) -> Option<Desk<'a, M>> {
        self.data().desks.at(worker)
    }

    /// Has the module [woken](Module::woken) at a worker, from any thread. Does nothing where the worker has stopped.
    pub fn wake(self, worker: usize) {
        self.data().desks.wake(worker);
    }

    /// The same at all workers.
    pub fn wake_all(self) {
        (0..self.data().desks.count()).for_each(|worker| self.wake(worker));
    }

    pub(super) fn data(self) -> &'a Data<M> {
        // SAFETY: `new` was promised that `fill_in` has put it there.
        unsafe { &*(*self.plugin.as_ptr()).data.cast::<Data<M>>() }
    }

    /// The place of its slot in `plugin_ctx` of every request.
    pub(super) fn id(self) -> usize {
        // SAFETY: `new` was promised a plugin; lighttpd2 sets the number once, before it calls any callback.
        unsafe { (*self.plugin.as_ptr()).id as usize }
    }

    /// The place in `options` of every request of its number or boolean option `place`.
    pub(super) fn option(self, place: usize) -> usize {
        assert!(place + 1 < self.data().options.len(), "an option of another module");
        // SAFETY: as in `id`.
        unsafe { (*self.plugin.as_ptr()).opt_base_index + place }
    }

    /// The place in `optionptrs` of every request of its boxed option `place`.
    pub(super) fn pointer_option(self, place: usize) -> usize {
        assert!(place + 1 < self.data().pointer_options.len(), "an option of another module");
        // SAFETY: as in `id`.
        unsafe { (*self.plugin.as_ptr()).optptr_base_index + place }
    }
}

/// Rows of options that lighttpd2 keeps behind pointers, or those that it does not.
pub(super) fn option_rows<M: Module>(is_boxed: bool) -> impl Iterator<Item = &'static OptionRow> {
    M::OPTIONS.iter().filter(move |row| row.kind.is_boxed() == is_boxed)
}

impl<M: Module> Default for Data<M> {
    /// A new module with the lists that lighttpd2 reads, each with an entry without a name at the end.
    fn default() -> Self {
        let options = option_rows::<M>(false).map(|row| {
            let (kind, parse): (_, sys::liPluginParseOptionCB) = match &row.kind {
                OptionKind::Number(kind, _) => (kind.in_abi(), Some(call::parse_number::<M>)),
                _ => (sys::LI_VALUE_BOOLEAN, None),
            };
            option(row.name.as_ptr(), kind, parse)
        });
        let pointer_options = option_rows::<M>(true).map(|row| {
            let kind = match &row.kind {
                OptionKind::Boxed(kind, _) => kind.in_abi(),
                _ => sys::LI_VALUE_NONE,
            };
            pointer_option(row.name.as_ptr(), kind, Some(call::parse_boxed::<M>), Some(call::free_boxed::<M>))
        });
        let actions = M::ACTIONS.iter().map(|row| sys::liPluginAction {
            name: row.name.as_ptr(),
            create_action: Some(call::create_action::<M>),
            userdata: ptr::from_ref(row).cast_mut().cast(),
        });
        let setups = M::SETUPS.iter().map(|row| sys::liPluginSetup {
            name: row.name.as_ptr(),
            setup: Some(call::set_up::<M>),
            userdata: ptr::from_ref(row).cast_mut().cast(),
        });
        let no_action = sys::liPluginAction { name: ptr::null(), create_action: None, userdata: ptr::null_mut() };
        let no_setup = sys::liPluginSetup { name: ptr::null(), setup: None, userdata: ptr::null_mut() };
        Self {
            module: M::default(),
            timers: Timers::default(),
            ears: Ears::new::<M>(),
            desks: Desks::default(),
            options: options.chain([option(ptr::null(), sys::LI_VALUE_NONE, None)]).collect(),
            pointer_options: pointer_options
                .chain([pointer_option(ptr::null(), sys::LI_VALUE_NONE, None, None)])
                .collect(),
            actions: actions.chain([no_action]).collect(),
            setups: setups.chain([no_setup]).collect(),
        }
    }
}

fn option(name: *const sys::gchar, kind: sys::liValueType, parse: sys::liPluginParseOptionCB) -> sys::liPluginOption {
    sys::liPluginOption { name, type_: kind, default_value: 0, parse_option: parse }
}

fn pointer_option(
    name: *const sys::gchar,
    kind: sys::liValueType,
    parse: sys::liPluginParseOptionPtrCB,
    free: sys::liPluginFreeOptionPtrCB,
) -> sys::liPluginOptionPtr {
    sys::liPluginOptionPtr { name, type_: kind, default_value: ptr::null_mut(), parse_option: parse, free_option: free }
}

/// What a plugin that is being registered under a name is to get.
pub(super) struct Pending<M: Module> {
    pub name: *const sys::gchar,
    pub data: Option<Box<Data<M>>>,
}

/// Fills in the plugin at `address` and makes the pending data its own; leaves both as they are where the plugin does not look as this
/// crate's declarations say.
///
/// # Safety
/// `address` is NULL, or that of a plugin which lighttpd2 is registering with `server`.
pub(super) unsafe fn fill_in<M: Module>(
    server: *mut sys::liServer,
    address: *mut sys::liPlugin,
    pending: &mut Pending<M>,
) {
    // SAFETY: the caller promises a plugin, which nobody else uses while it is being registered.
    let Some(plugin) = (unsafe { address.as_mut() }) else { return };
    if plugin.name != pending.name || !plugin.data.is_null() {
        return;
    }
    let Some(data) = pending.data.take() else { return };
    plugin.options = data.options.as_ptr();
    plugin.optionptrs = data.pointer_options.as_ptr();
    plugin.actions = data.actions.as_ptr();
    plugin.setups = data.setups.as_ptr();
    plugin.free = Some(call::free::<M>);
    plugin.handle_prepare = Some(call::handle_prepare::<M>);
    plugin.handle_prepare_worker = Some(call::handle_prepare_worker::<M>);
    plugin.handle_worker_stop = Some(call::handle_worker_stop::<M>);
    plugin.handle_stop_listen = Some(call::handle_stop_listen::<M>);
    plugin.handle_close = Some(call::handle_close::<M>);
    plugin.handle_vrclose = Some(call::handle_vrclose::<M>);
    plugin.data = Box::into_raw(data).cast();
    response::register::<M>(server, address);
}

/// Frees the data of a plugin.
///
/// # Safety
/// `plugin` was filled in for this module, and nobody uses its data any more.
pub(super) unsafe fn free_data<M: Module>(plugin: *mut sys::liPlugin) {
    response::unregister(plugin);
    // SAFETY: the caller promises it; `fill_in` made the data from a box.
    drop(unsafe { Box::from_raw(ptr::replace(&raw mut (*plugin).data, ptr::null_mut()).cast::<Data<M>>()) });
}
