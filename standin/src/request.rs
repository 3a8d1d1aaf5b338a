//! A request's way through the module.

use crate::action::{Action, Function};
use crate::ending::{self, Life};
use crate::exports::broken;
use crate::lvalue::host;
use crate::module::Module;
use crate::objects::Objects;
use crate::server::PLUGINS_BEFORE;
use crate::state::State;
use crate::value::Text;
use lighttpd2::sys;
use std::ptr::{self, NonNull};

pub use crate::objects::Counter;

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
    /// Whole, and the connection waits for the next one. What the connection has not got of the response by then goes into
    /// the socket at once: all happens while the callback of the response's stream runs.
    KeptAlive,
    /// Whole, and the connection ends with it. As above.
    Ended,
    /// By the client, before it was whole, while something waited to be sent.
    BrokenOff,
    /// By the client, while nothing waited to be sent or nothing could be: the stream of the response is told first, and all
    /// the rest happens while its callback runs.
    Disconnected,
    /// By what feeds the response, before that had come to its end. The stream is told first.
    Failed,
    /// By lighttpd2, where what comes of the response is wrong. Here too the stream is told first.
    Error,
    /// Because nothing moved for too long, perhaps before it was whole.
    TimedOut,
    /// With the server: nobody is told that the connection closes.
    Stopped,
}

/// What a request asks for, and who asks, besides its query and its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The method's name, if it is not that of its number.
    pub method: Vec<u8>,
    /// The path, decoded.
    pub path: Vec<u8>,
    /// The path as it came, with the query.
    pub raw_path: Vec<u8>,
    /// The client's address.
    pub remote_ip: Vec<u8>,
}

/// What becomes of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Performed {
    /// The next one comes.
    Done,
    /// The request waits in it, until it is [due](Request::is_due) to be performed again.
    Waits,
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectAnswer {
    /// The HTTP status.
    pub status: i32,
    /// Names and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl<'m> Request<'m> {
    /// A request of a worker, about which nothing is known yet.
    pub fn new(module: &'m Module<'m>, worker: usize) -> Self {
        let server = module.server();
        let state = State::new(server, worker);
        let objects = Objects::new(server, worker, state);
        let [received, given, sent, content_length] = objects.counters();
        let mut request = Self { module, objects, state, received, given, sent, content_length, is_closed: false };
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
        self.objects.reset(self.module.server());
        for counter in [&self.received, &self.given, &self.sent, &self.content_length] {
            counter.set(0);
        }
        self.objects.set_response_closed(false);
        self.state().reset();
        self.is_closed = false;
    }

    /// Its header has come. `query` is NULL where there is none; -1 is a length that is not known yet.
    pub fn enter(&mut self, method: sys::liHttpMethod, query: Option<&[u8]>, content_length: i64) {
        self.objects.set_query(query.map(|query| Text::new(&self.module.server().heap, Some(query))));
        // SAFETY: the module looks at it in actions only.
        unsafe { (*self.vr()).request.http_method = method };
        self.content_length.set(content_length);
        self.state().out.change(|stage| stage.state = sys::LI_VRS_HANDLE_REQUEST_HEADERS);
    }

    /// What it asks for, and who asks; to be told after its [header](Self::set_request_headers), which names the host.
    pub fn set_target(&mut self, target: Target) {
        let header = self.state().request_headers.values(b"host").next().unwrap_or_default();
        self.objects.set_target(&self.module.server().heap, &target, &host(&header));
        *self.state().target.borrow_mut() = target;
    }

    /// The lines of its header, in their order, besides those that it has.
    pub fn set_request_headers(&mut self, headers: &[(&[u8], &[u8])]) {
        headers.iter().for_each(|(name, value)| self.state().request_headers.insert(name, value));
    }

    /// The lines of its response's header, in their order, besides those that it has.
    pub fn set_response_headers(&mut self, headers: &[(&[u8], &[u8])]) {
        headers.iter().for_each(|(name, value)| self.state().response_headers.insert(name, value));
    }

    /// It runs inside another request, as those of lighttpd2's Lua do: it has no connection of its own.
    pub fn set_inner(&mut self) {
        self.state().is_inner.set(true);
    }

    /// Performs an action of the module's, or one that sets an option.
    ///
    /// # Panics
    /// Where it waits in another action.
    pub fn perform(&mut self, action: &Action<'_>) -> Performed {
        if let Action::Function(function) = action {
            return self.call(function);
        }
        assert!(!self.is_waiting(), "a request that waits goes on with the same action");
        match action {
            Action::Setting { index, value } => self.objects.options.set(*index, *value),
            Action::PointerSetting { index, value } => self.objects.options.set_pointer(*index, value),
            Action::Own(_) | Action::Function(_) => {}
        }
        Performed::Done
    }

    fn call(&mut self, function: &Function<'_>) -> Performed {
        let (parts, state) = (function.parts(), self.state());
        let Some(call) = parts.function else { broken("an action without a function") };
        let former = state.stop_waiting_in(function);
        let mut context = former.unwrap_or(ptr::null_mut());
        // SAFETY: the module has made the action for this; the request is this thread's.
        let result = unsafe { call(self.vr(), parts.param, &raw mut context) };
        state.scratch().spoil();
        if !context.is_null() && parts.cleanup.is_none() {
            broken("an action leaves a context and has no cleanup");
        }
        match result {
            sys::LI_HANDLER_GO_ON => {
                if !context.is_null() {
                    // SAFETY: the request is this thread's.
                    unsafe { function.unfinished(context).clean_up(self.vr()) };
                }
                if former.is_some() && self.is_indirect() {
                    // Its header may have become ready meanwhile.
                    state.event_loop().jobs.begin(state);
                }
                Performed::Done
            }
            sys::LI_HANDLER_WAIT_FOR_EVENT if parts.cleanup.is_none() => {
                broken("a request waits in an action that has no cleanup")
            }
            sys::LI_HANDLER_WAIT_FOR_EVENT => {
                state.wait_in(function, context);
                Performed::Waits
            }
            _ => broken("this module's actions go on or wait"),
        }
    }

    /// Whether it waits in an action.
    pub fn is_waiting(&self) -> bool {
        self.state().is_waiting()
    }

    /// Whether it waits in an action that is to be performed again now.
    pub fn is_due(&self) -> bool {
        self.state().is_due()
    }

    /// Has the action performed again in which it waits, if it does: lighttpd2 does so also where the module has not asked
    /// for it.
    pub fn perform_later(&mut self) {
        if self.is_waiting() {
            self.state().perform_later();
        }
    }

    /// Answers it as a plugin would. Does nothing where it is handled already.
    pub fn respond(&mut self, status: i32, body: &[u8]) {
        // SAFETY: it is this thread's request.
        if unsafe { State::handle_direct(self.vr()) } {
            self.set_status(status);
            if !body.is_empty() {
                self.state().response_headers.overwrite(b"Content-Type", b"text/plain");
                self.state().append_body(body);
            }
        }
    }

    /// Whether something answers it.
    pub fn is_handled(&self) -> bool {
        self.state().is_handled()
    }

    /// From now on something answers it over time.
    pub fn handle_indirect(&mut self) {
        self.state().out.change(|stage| stage.state = sys::LI_VRS_READ_CONTENT);
    }

    /// Whether the module answers it over time.
    pub fn is_indirect(&self) -> bool {
        self.state().is_indirect.get()
    }

    /// Says which version of HTTP the client speaks, and whether it wants another request on the connection. Otherwise it is
    /// HTTP/1.1, and it does.
    pub fn set_http(&mut self, is_1_1: bool, keep_alive: bool) {
        self.state().wire.set(is_1_1, keep_alive);
    }

    /// Whether the connection can be kept after a response over time. It cannot where only its end says that of the body.
    pub fn keeps_alive(&self) -> bool {
        self.state().wire.keep_alive()
    }

    /// What the connection has got so far of the body that a stream of the module's gives.
    pub fn body_so_far(&self) -> Vec<u8> {
        self.state().body.borrow().clone()
    }

    /// What the connection was given by a stream of the module's, as it goes into the socket, since the last time.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.state().body.take();
        self.state().wire.take()
    }

    /// The client reads all that the connection was given.
    pub fn read_all(&mut self) {
        self.sent.set(self.given.get());
    }

    /// Whether something has become of a response over time since `take_output`.
    pub fn has_news(&self) -> bool {
        self.state().wire.has_bytes() || self.is_complete() || self.is_over()
    }

    /// Whether the connection has let go of it, before it was closed.
    pub fn is_over(&self) -> bool {
        self.state().life.get() == Life::Over
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

    /// So many bytes of a header are due when the response begins, and so many of its body wait by then.
    pub fn set_waiting(&mut self, header: usize, body: usize) {
        self.state().out.set_waiting(header, body);
    }

    /// There is more of the response's body. It is given to the connection when the response has begun.
    pub fn feed(&mut self, bytes: usize) {
        self.state().out.feed(bytes);
    }

    /// The response's header is on its way, and something feeds its body from now on.
    pub fn begin_response(&mut self) {
        self.state().out.begin();
    }

    /// The response has come to its end, though perhaps not to the client. It begins, if it has not.
    pub fn set_complete(&mut self) {
        self.state().complete();
    }

    /// It is answered with status 101, and its connection goes on without it: both sides send what they like, which `feed`
    /// and the counters say, until it is closed.
    pub fn upgrade(&mut self) {
        self.set_status(101);
        ending::upgrade(self.state());
        self.check();
        self.objects.reset_vrequest(self.module.server());
    }

    /// Whether the connection has got all of the response.
    pub fn is_complete(&self) -> bool {
        self.state().out.stage().is_complete
    }

    /// Nothing more comes into the response, as at the end of a Lua subrequest.
    pub fn set_response_closed(&mut self) {
        self.objects.set_response_closed(true);
    }

    /// What it was answered with at once, if it was.
    pub fn answer(&self) -> Option<DirectAnswer> {
        let state = self.state();
        state.direct.borrow().as_ref().map(|_| DirectAnswer {
            status: self.status(),
            headers: state.response_headers.all(),
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
        self.objects.slot(PLUGINS_BEFORE)
    }

    /// From now on it belongs to this thread; the one that it belonged to has ended.
    pub fn adopt(&mut self) {
        self.state().adopt();
    }

    /// Closes it: the module is told, what it must have left alone is looked at, and the memory is released.
    pub fn close(mut self, how: Close) {
        self.end(how);
    }

    fn end(&mut self, how: Close) {
        self.is_closed = true;
        ending::end(self.state(), how);
        self.check();
    }

    /// Ends the program where the module has written to what is not its own.
    fn check(&self) {
        self.state().out.check();
        self.objects.check_what_is_not_the_modules();
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
        // SAFETY: it is in a box that is its own, and the module does not use it after `handle_vrclose`.
        drop(unsafe { Box::from_raw(self.state.as_ptr()) });
    }
}
