//! Streams of the module's own, which give responses over time.

use crate::event_loop::EventLoop;
use crate::exports::broken;
use crate::memory::{Object, UNSET};
use crate::objects::{empty_queue, is_unset};
use crate::server::{StandInServer, server_of};
use crate::state::{Place, State};
use lighttpd2::sys;
use std::collections::BTreeMap;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// All of them, by their addresses: what one that is gone has left cannot be looked at.
static STREAMS: Mutex<BTreeMap<usize, Entry>> = Mutex::new(BTreeMap::new());

/// A stream that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream(*mut sys::liStream);

/// What is known of one.
struct Entry {
    owner: ThreadId,
    server: *const StandInServer,
    event_loop: *const EventLoop,
    /// References of the module's.
    given: usize,
    /// References of lighttpd2's.
    kept: usize,
    queue: Object<sys::liChunkQueue>,
    /// What waits in the queue.
    data: Vec<u8>,
    /// The request that it was connected with, and where the response goes, while it goes there.
    request: *const State,
    dest: *mut sys::liStream,
    /// Its memory, where that is not the module's.
    memory: Option<Object<sys::liStream>>,
}

// SAFETY: its addresses are used on the thread of its owner only.
unsafe impl Send for Entry {}

/// Which references are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Modules,
    Lighttpd2s,
}

fn streams() -> MutexGuard<'static, BTreeMap<usize, Entry>> {
    STREAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// `li_stream_init`.
    ///
    /// # Safety
    /// There is room for a stream, until it gets `LI_STREAM_DESTROY`; `event_loop` is that of a worker.
    pub unsafe fn init(stream: *mut sys::liStream, event_loop: *mut sys::liEventLoop, callback: sys::liStreamCB) {
        if stream.is_null() {
            broken("a stream that is NULL");
        }
        // SAFETY: the caller promises it.
        unsafe { Self(stream).place(event_loop, callback, None) };
    }

    /// `li_stream_null_new`.
    ///
    /// # Safety
    /// `event_loop` is that of a worker.
    pub unsafe fn null(event_loop: *mut sys::liEventLoop) -> *mut sys::liStream {
        // SAFETY: the caller promises a loop; its object is there as long as the entry.
        unsafe {
            let memory = Object::unset(&server_of(event_loop).heap);
            let stream = memory.as_ptr();
            Self(stream).place(event_loop, None, Some(memory));
            (*(*stream).out).is_closed = 1;
            stream
        }
    }

    /// # Safety
    /// As for `init`.
    unsafe fn place(
        self,
        event_loop: *mut sys::liEventLoop,
        callback: sys::liStreamCB,
        memory: Option<Object<sys::liStream>>,
    ) {
        // SAFETY: the caller promises a loop and room for a stream.
        unsafe {
            let own_loop = EventLoop::from_abi(event_loop);
            let server = server_of(event_loop);
            if !own_loop.is_own() {
                broken("a stream is made on another thread than its worker's");
            }
            let queue = empty_queue(&server.heap);
            Place::of(queue.as_ptr()).write_unaligned(Place::of_stream(self.0));
            (&raw mut (*self.0).opaque_job).write_bytes(UNSET, 1);
            (*self.0).opaque_refcount = 1;
            (*self.0).source = ptr::null_mut();
            (*self.0).opaque_dest = ptr::null_mut();
            (*self.0).out = queue.as_ptr();
            (*self.0).cb = callback;
            let entry = Entry {
                owner: thread::current().id(),
                server,
                event_loop: own_loop,
                given: 1,
                kept: 0,
                queue,
                data: Vec::new(),
                request: ptr::null(),
                dest: ptr::null_mut(),
                memory,
            };
            if streams().insert(self.0.addr(), entry).is_some() {
                broken("a stream is made where one is that is not gone");
            }
        }
    }

    /// The one that the module knows by this. Ends the program where there is none, or this thread may not use it.
    pub fn from_abi(stream: *mut sys::liStream) -> Self {
        if stream.is_null() {
            broken("a stream that is NULL");
        }
        Self(stream).with(|_| Self(stream))
    }

    /// What the module knows it by.
    pub fn as_ptr(self) -> *mut sys::liStream {
        self.0
    }

    /// `li_stream_release`.
    pub fn release(self) {
        self.release_one(Whose::Modules);
    }

    /// lighttpd2 keeps it.
    pub fn keep(self) {
        self.with(|entry| entry.kept += 1);
        self.show_references();
    }

    /// lighttpd2 keeps it no longer.
    pub fn let_go(self) {
        self.release_one(Whose::Lighttpd2s);
    }

    /// Says which request it is connected with: none by NULL.
    pub fn set_request(self, request: *const State) {
        self.with(|entry| entry.request = request);
    }

    /// Whether it can be connected with a request of that loop.
    pub fn check_free(self, event_loop: &EventLoop) {
        self.with(|entry| {
            if !ptr::eq(entry.event_loop, event_loop) {
                broken("a stream of another worker");
            }
            if !entry.request.is_null() {
                broken("a stream is connected with two requests");
            }
        });
    }

    /// Whether it is from `li_stream_null_new`.
    pub fn is_null_stream(self) -> bool {
        self.with(|entry| entry.memory.is_some())
    }

    /// From now on what comes in it goes to `dest`.
    pub fn connect(self, dest: *mut sys::liStream) {
        self.set_dest(dest);
        self.keep();
        self.tell(sys::LI_STREAM_CONNECTED_DEST);
    }

    /// What comes in it goes nowhere any more. It is kept until `let_go`.
    pub fn disconnect(self) {
        self.set_dest(ptr::null_mut());
        self.tell(sys::LI_STREAM_DISCONNECTED_DEST);
    }

    /// The request that it gives the response of, if something has come of that.
    pub fn connected_request(self) -> Option<*const State> {
        self.with(|entry| (!entry.dest.is_null()).then_some(entry.request))
    }

    /// Whether nothing waits in its queue.
    pub fn is_empty(self) -> bool {
        self.with(|entry| entry.data.is_empty())
    }

    /// Whether nothing comes after what waits in its queue.
    pub fn is_closed(self) -> bool {
        self.with(|entry| entry.is_closed())
    }

    /// Adds to its queue.
    pub fn append(self, bytes: &[u8]) {
        self.with(|entry| {
            if entry.is_closed() {
                broken("something is appended to a queue that is closed");
            }
            entry.data.extend_from_slice(bytes);
            // SAFETY: the queue is the entry's, and this thread's.
            unsafe {
                let queue = entry.queue.as_ptr();
                (*queue).bytes_in += bytes.len() as sys::goffset;
                (*queue).length += bytes.len() as sys::goffset;
            }
        });
    }

    /// Takes what waits in its queue.
    pub fn take(self) -> Vec<u8> {
        self.with(|entry| {
            // SAFETY: as in `append`.
            unsafe {
                let queue = entry.queue.as_ptr();
                (*queue).bytes_out += (*queue).length;
                (*queue).length = 0;
            }
            std::mem::take(&mut entry.data)
        })
    }

    /// From now on it belongs to this thread; the one that it belonged to has ended.
    pub fn adopt(self) {
        if let Some(entry) = streams().get_mut(&self.0.addr()) {
            entry.owner = thread::current().id();
        }
    }

    /// Ends the program where one of the server's is there.
    pub fn check_end(server: &StandInServer) {
        if streams().values().any(|entry| ptr::eq(entry.server, server)) {
            broken("a stream is left when its server is gone");
        }
    }

    fn set_dest(self, dest: *mut sys::liStream) {
        self.with(|entry| {
            entry.dest = dest;
            // SAFETY: it is in the table, so it is there.
            unsafe { (*self.0).opaque_dest = dest };
        });
    }

    fn tell(self, event: sys::liStreamEvent) {
        // SAFETY: lighttpd2 keeps it, so it is there; the module has given the callback for it.
        unsafe {
            if let Some(callback) = (*self.0).cb {
                callback(self.0, event);
            }
        }
    }

    fn show_references(self) {
        // SAFETY: it is in the table, so it is there.
        self.with_unchecked(|entry| unsafe { (*self.0).opaque_refcount = entry.references() });
    }

    fn release_one(self, whose: Whose) {
        let is_last = self.with(|entry| {
            let count = if whose == Whose::Modules { &mut entry.given } else { &mut entry.kept };
            if *count == 0 {
                broken("a stream is released that the module has no reference of");
            }
            *count -= 1;
            entry.references() == 0
        });
        if !is_last {
            return self.show_references();
        }
        let entry = streams().remove(&self.0.addr());
        // SAFETY: its memory is there until its callback has returned.
        unsafe {
            (*self.0).opaque_refcount = 0;
            (*self.0).out = ptr::null_mut();
            let callback = (*self.0).cb;
            drop(entry);
            if let Some(callback) = callback {
                callback(self.0, sys::LI_STREAM_DESTROY);
            }
        }
    }

    /// Ends the program where it is gone, was changed, or is not this thread's.
    fn with<R>(self, look: impl FnOnce(&mut Entry) -> R) -> R {
        self.with_unchecked(|entry| {
            if entry.owner != thread::current().id() {
                broken("a stream is used on another thread than its worker's");
            }
            if !entry.is_in(self.0) {
                broken("it changes what a stream or its queue says");
            }
            look(entry)
        })
    }

    fn with_unchecked<R>(self, look: impl FnOnce(&mut Entry) -> R) -> R {
        match streams().get_mut(&self.0.addr()) {
            Some(entry) => look(entry),
            None => broken("a stream is used that is gone or was never made"),
        }
    }
}

impl Entry {
    fn references(&self) -> sys::gint {
        (self.given + self.kept) as sys::gint
    }

    fn is_closed(&self) -> bool {
        // SAFETY: the module sets it on this thread.
        unsafe { (*self.queue.as_ptr()).is_closed != 0 }
    }

    /// Whether a stream and its queue are as they were left.
    fn is_in(&self, stream: *mut sys::liStream) -> bool {
        let queue = self.queue.as_ptr();
        // SAFETY: it is in the table, so it is there, and it is this thread's.
        unsafe {
            (*stream).opaque_refcount == self.references()
                && (*stream).source.is_null()
                && (*stream).opaque_dest == self.dest
                && (*stream).out == queue
                && is_unset(&raw const (*stream).opaque_job)
                && (*queue).length == self.data.len() as sys::goffset
                && (*queue).bytes_in == (*queue).bytes_out + (*queue).length
        }
    }
}
