//! lighttpd2's server object, its workers and its list of modules.

use crate::event_loop::EventLoop;
use crate::exports::broken;
use crate::log::Log;
use crate::memory::{Heap, Memory, Object};
use crate::pointer::Pointer;
use crate::scratch::Scratch;
use crate::value::Text;
use lighttpd2::sys;
use std::mem::offset_of;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Plugins of others that are registered before the module's and after it, so that its number is not 0 and not the last.
pub const PLUGINS_BEFORE: usize = 2;
/// All plugins.
pub const PLUGINS: usize = PLUGINS_BEFORE + 2;

/// Where the jobs of a worker are taken for endless.
const MOST_JOBS: usize = 100_000;

/// The server, and what belongs to it.
pub struct StandInServer {
    /// Where its objects and those of its requests are.
    pub heap: Arc<Heap>,
    /// Its error log.
    pub log: Log,
    abi: Object<sys::liServer>,
    modules: Object<sys::liModules>,
    module: Object<sys::liModule>,
    _module_name: Text,
    workers: Mutex<Workers>,
    /// The workers' event loops. They outlive the workers, for whoever still has a waitqueue then.
    loops: Vec<EventLoop>,
    scratch: Vec<Scratch>,
    /// The module's plugin, while it is registered.
    pub(crate) plugin: AtomicPtr<sys::liPlugin>,
    pub(crate) plugin_object: Mutex<Option<Object<[sys::liPlugin; 2]>>>,
    options: Mutex<Vec<sys::liOptionValue>>,
    pointers: Mutex<Vec<Pointer>>,
    /// How many patterns there are.
    pub(crate) patterns: AtomicUsize,
    running: AtomicBool,
    displaced_plugins: AtomicBool,
}

struct Workers {
    array: Object<sys::GArray>,
    pointers: Option<Object<*mut sys::liWorker>>,
    objects: Vec<Object<sys::liWorker>>,
}

/// The objects that tell the module what kind of server it is on, to be made into those of another kind.
pub struct Layout<'a> {
    /// The list of modules.
    pub modules: &'a mut sys::liModules,
    /// The server.
    pub server: &'a mut sys::liServer,
    /// The array of workers.
    pub array: &'a mut sys::GArray,
    /// What is in the array.
    pub pointers: &'a mut [*mut sys::liWorker],
    /// The workers.
    pub workers: Vec<&'a mut sys::liWorker>,
}

impl StandInServer {
    /// A server with that many workers, whose objects are kept in that kind of memory.
    pub fn new(workers: u32, memory: Memory, log: Log) -> Arc<Self> {
        let heap = Heap::new(memory);
        let abi = Object::<sys::liServer>::unset(&heap);
        let srv = abi.as_ptr();
        let modules = Object::<sys::liModules>::unset(&heap);
        let module = Object::<sys::liModule>::zeroed(&heap);
        let module_name = Text::new(&heap, Some(b"mod_progress"));
        let objects: Vec<_> = (0..workers).map(|_| Object::<sys::liWorker>::unset(&heap)).collect();
        let loops: Vec<_> = (0..workers).map(|_| EventLoop::new()).collect();
        let scratch: Vec<_> = (0..workers).map(|_| Scratch::new(&heap)).collect();
        let pointers: Vec<_> = objects.iter().map(Object::as_ptr).collect();
        let pointers = Object::copy_of(&heap, &pointers);
        let array = Object::<sys::GArray>::unset(&heap);
        // SAFETY: nobody else knows the objects yet.
        unsafe {
            for (number, worker) in objects.iter().enumerate() {
                (*worker.as_ptr()).srv = srv;
                (*worker.as_ptr()).ndx = number as sys::guint;
                loops[number].place_in(worker.as_ptr());
                scratch[number].place_in(worker.as_ptr());
            }
            (*array.as_ptr()).data = pointers.as_ptr().cast();
            (*array.as_ptr()).len = workers;
            (*srv).magic = sys::LIGHTTPD_SERVER_MAGIC;
            (*srv).worker_count = workers;
            (*srv).workers = array.as_ptr();
            (*srv).main_worker = objects.first().map_or(ptr::null_mut(), Object::as_ptr);
            (*modules.as_ptr()).version = sys::MODULE_VERSION;
            (*modules.as_ptr()).main = srv.cast();
            (*modules.as_ptr()).sizeof_off_t = size_of::<libc::off_t>() as sys::guint8;
            (*module.as_ptr()).name = module_name.as_ptr();
        }
        let server = Arc::new(Self {
            heap,
            log,
            abi,
            modules,
            module,
            _module_name: module_name,
            workers: Mutex::new(Workers { array, pointers: Some(pointers), objects }),
            loops,
            scratch,
            plugin: AtomicPtr::default(),
            plugin_object: Mutex::default(),
            options: Mutex::default(),
            pointers: Mutex::default(),
            patterns: AtomicUsize::default(),
            running: AtomicBool::new(false),
            displaced_plugins: AtomicBool::new(false),
        });
        // SAFETY: the place is the server's own, see `from_abi`.
        unsafe { own_place::<*const Self, _>(&raw mut (*srv).opaque_rest).write_unaligned(Arc::as_ptr(&server)) };
        server
    }

    /// The server that `srv` belongs to.
    ///
    /// # Safety
    /// `srv` is the object of a server that lives during `'a`.
    pub unsafe fn from_abi<'a>(srv: *mut sys::liServer) -> &'a Self {
        if srv.is_null() {
            broken("a server that is NULL");
        }
        // SAFETY: the caller promises a server, and `new` has left its address there.
        unsafe { &*own_place::<*const Self, _>(&raw mut (*srv).opaque_rest).read_unaligned() }
    }

    /// What the module knows it by.
    pub fn as_ptr(&self) -> *mut sys::liServer {
        self.abi.as_ptr()
    }

    /// Its list of modules.
    pub fn modules(&self) -> *mut sys::liModules {
        self.modules.as_ptr()
    }

    /// The module's place in it.
    pub fn module(&self) -> *mut sys::liModule {
        self.module.as_ptr()
    }

    /// What the module sees of it before the workers run.
    ///
    /// # Safety
    /// Neither a worker runs nor a function of the module's, and no other layout is in use.
    pub unsafe fn layout(&self) -> Layout<'_> {
        let workers = self.workers();
        let pointers = workers.pointers.as_ref().map_or(ptr::null_mut(), Object::as_ptr);
        // SAFETY: the objects live as long as the server, the workers' until `free_workers`; nobody else uses them now.
        unsafe {
            Layout {
                modules: &mut *self.modules.as_ptr(),
                server: &mut *self.abi.as_ptr(),
                array: &mut *workers.array.as_ptr(),
                pointers: slice::from_raw_parts_mut(pointers, workers.objects.len()),
                workers: workers.objects.iter().map(|worker| &mut *worker.as_ptr()).collect(),
            }
        }
    }

    /// How many workers it has.
    pub fn worker_count(&self) -> usize {
        self.loops.len()
    }

    /// The worker of that number.
    pub fn worker(&self, number: usize) -> *mut sys::liWorker {
        self.workers().objects[number].as_ptr()
    }

    /// The event loop of the worker of that number.
    pub fn event_loop(&self, worker: usize) -> &EventLoop {
        &self.loops[worker]
    }

    /// Does what waits for that worker, until nothing does. Returns how much that was.
    ///
    /// # Panics
    /// On another thread than the worker's, and where there is no end of it.
    pub fn run_jobs(&self, worker: usize) -> usize {
        let event_loop = self.event_loop(worker);
        assert!(event_loop.is_own(), "jobs are done on the thread that has prepared the worker");
        let mut count = 0;
        while !event_loop.jobs.is_empty() {
            count += event_loop.run_jobs();
            assert!(count < MOST_JOBS, "a job makes another, without an end");
        }
        count
    }

    /// The `tmp_str` of the worker of that number.
    pub(crate) fn scratch(&self, worker: usize) -> &Scratch {
        &self.scratch[worker]
    }

    /// Whether its workers run.
    pub fn is_running(&self) -> bool {
        self.running.load(SeqCst)
    }

    /// Says whether its workers run.
    pub fn set_running(&self, running: bool) {
        self.running.store(running, SeqCst);
    }

    /// Releases the workers, as lighttpd2 does before it frees its plugins.
    pub fn free_workers(&self) {
        self.loops.iter().for_each(EventLoop::end);
        let mut workers = self.workers();
        workers.objects.clear();
        workers.pointers = None;
        self.scratch.iter().for_each(Scratch::release);
    }

    /// The module's plugin; NULL where none is registered.
    pub fn plugin(&self) -> *mut sys::liPlugin {
        self.plugin.load(SeqCst)
    }

    /// The values of all options that a new request starts with.
    pub fn options(&self) -> MutexGuard<'_, Vec<sys::liOptionValue>> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is behind the pointers of all options that a new request starts with.
    pub fn pointer_options(&self) -> Vec<Pointer> {
        self.pointers().clone()
    }

    pub(crate) fn pointers(&self) -> MutexGuard<'_, Vec<Pointer>> {
        self.pointers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on its plugins are not laid out as declared.
    pub fn displace_plugins(&self) {
        self.displaced_plugins.store(true, SeqCst);
    }

    pub(crate) fn has_displaced_plugins(&self) -> bool {
        self.displaced_plugins.load(SeqCst)
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the stand-in keeps something of its own, in a part of an object that the module knows nothing of.
pub(crate) fn own_place<T, O>(opaque: *mut O) -> *mut T {
    const { assert!(size_of::<O>() >= size_of::<T>()) };
    opaque.cast()
}

/// The server that a loop belongs to. Ends the program where that is no worker's.
///
/// # Safety
/// `event_loop` is that of a worker, or NULL, or other memory that can be read; its server lives during `'a`.
pub(crate) unsafe fn server_of<'a>(event_loop: *mut sys::liEventLoop) -> &'a StandInServer {
    // SAFETY: the caller promises memory; only that of a worker is inside one.
    unsafe {
        let _ = EventLoop::from_abi(event_loop);
        let worker = event_loop.byte_sub(offset_of!(sys::liWorker, loop_)).cast::<sys::liWorker>();
        StandInServer::from_abi((*worker).srv)
    }
}
