//! The stream that a response goes through into its connection, and what is called when something happens to it.

use crate::ending;
use crate::exports::broken;
use crate::http::has_no_body;
use crate::memory::{Heap, Object};
use crate::objects::{Counter, empty_queue, is_unset};
use crate::server::own_place;
use crate::stage::Stage;
use crate::state::State;
use crate::stream::Stream;
use lighttpd2::sys;
use std::cell::Cell;
use std::mem::offset_of;
use std::ptr;
use std::sync::Arc;

/// What tells a connection's `out` from other streams.
const MARK: u64 = 0x6f75_7473_7472_6561;

/// What is kept in such a stream.
type Own = (u64, *const State);

/// The way of a response into its connection.
pub(crate) struct Out {
    con: Cell<*mut sys::liConnection>,
    /// What feeds the response while something does, and the queue that goes through.
    feeder: Object<sys::liStream>,
    feeding: Object<sys::liChunkQueue>,
    /// The stream of the module's that feeds it instead, while it does.
    source: Cell<Option<Stream>>,
    stage: Cell<Stage>,
    waiting: Cell<Waiting>,
    /// Whether the socket is there.
    is_connected: Cell<bool>,
    /// Whether our callback was called for the last event.
    is_heard: Cell<bool>,
}

/// What the connection has not got yet.
#[derive(Clone, Copy, Default)]
struct Waiting {
    /// Bytes of a header.
    header: usize,
    /// Bytes of the body.
    body: usize,
    /// Whether nothing comes after that.
    is_closed: bool,
}

impl Out {
    /// One of no connection.
    pub fn new(heap: &Arc<Heap>) -> Self {
        let (feeder, feeding) = (Object::<sys::liStream>::unset(heap), empty_queue(heap));
        // SAFETY: nobody else knows the object yet.
        unsafe { (*feeder.as_ptr()).out = feeding.as_ptr() };
        Self {
            con: Cell::new(ptr::null_mut()),
            feeder,
            feeding,
            source: Cell::default(),
            stage: Cell::new(Stage::NEW),
            waiting: Cell::default(),
            is_connected: Cell::new(true),
            is_heard: Cell::default(),
        }
    }

    /// Makes it that of a connection.
    ///
    /// # Safety
    /// `con` is a connection with a request that nobody else uses now, and goes with `state`, which this is a part of.
    pub unsafe fn place_in(&self, con: *mut sys::liConnection, state: *const State) {
        self.con.set(con);
        // SAFETY: the caller promises it.
        unsafe {
            own_place::<Own, _>(&raw mut (*con).out.opaque_job).write_unaligned((MARK, state));
            (*con).out.cb = Some(callback);
        }
    }

    /// The connection.
    pub fn connection(&self) -> *mut sys::liConnection {
        self.con.get()
    }

    /// Its request.
    pub fn vrequest(&self) -> *mut sys::liVRequest {
        // SAFETY: a connection has one.
        unsafe { (*self.connection()).mainvr }
    }

    /// Makes it that of a new request.
    pub fn reset(&self) {
        self.waiting.take();
        self.fed().set(0);
        self.change(|stage| *stage = Stage::NEW);
    }

    /// How far the response is.
    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Says that the response has got further, or that the connection ends.
    pub fn change(&self, change: impl FnOnce(&mut Stage)) {
        let mut stage = self.stage();
        change(&mut stage);
        self.stage.set(stage);
        // SAFETY: the module looks at it in callbacks only.
        unsafe { stage.write(self.connection(), self.fed_by()) };
    }

    /// So many bytes of a header are due when the response begins, and so many of its body wait by then.
    pub fn set_waiting(&self, header: usize, body: usize) {
        self.waiting.set(Waiting { header, body, ..self.waiting.get() });
    }

    /// There is more of the body. It waits until the response has begun.
    pub fn feed(&self, bytes: usize) {
        let waiting = self.waiting.get();
        self.waiting.set(Waiting { body: waiting.body + bytes, ..waiting });
        if self.stage().is_fed {
            self.tell(sys::LI_STREAM_NEW_DATA);
        }
    }

    /// The response's header is ready: something feeds its body from now on.
    pub fn begin(&self) {
        if self.stage().has_headers {
            return;
        }
        self.change(|stage| {
            if stage.state != sys::LI_VRS_CLEAN {
                stage.state = sys::LI_VRS_WRITE_CONTENT;
            }
            stage.is_fed = true;
        });
        self.tell(sys::LI_STREAM_CONNECTED_SOURCE);
    }

    /// As `begin`, with a stream of the module's.
    pub fn connect(&self, source: Stream) {
        self.source.set(Some(source));
        self.change(|stage| {
            stage.state = sys::LI_VRS_WRITE_CONTENT;
            stage.is_fed = true;
        });
        // As in lighttpd2, it is kept meanwhile: where the request ends at once, it goes only after that.
        source.keep();
        source.connect(self.stream());
        // The module may have let go of the connection at once.
        if self.stage().is_fed {
            self.tell(sys::LI_STREAM_CONNECTED_SOURCE);
        }
        source.let_go();
    }

    /// The header is sent as that of a connection that is upgraded, and something feeds what comes after it.
    pub fn upgrade(&self) {
        assert!(!self.stage().has_headers, "a connection is upgraded before its response begins");
        let waiting = self.waiting.get();
        self.change(|stage| {
            stage.state = sys::LI_VRS_WRITE_CONTENT;
            stage.has_headers = true;
            stage.is_timed = false;
            stage.connection = sys::LI_CON_STATE_UPGRADED;
        });
        self.given().add(waiting.header);
        self.waiting.set(Waiting { header: 0, ..waiting });
        self.change(|stage| stage.is_fed = true);
        self.tell(sys::LI_STREAM_CONNECTED_SOURCE);
    }

    /// Nothing comes after what waits.
    pub fn complete(&self) {
        self.waiting.set(Waiting { is_closed: true, ..self.waiting.get() });
        self.begin();
        if self.stage().is_fed {
            self.tell(sys::LI_STREAM_NEW_DATA);
        }
    }

    /// The socket goes.
    pub fn disconnect(&self) {
        if self.is_connected.replace(false) {
            self.tell(sys::LI_STREAM_DISCONNECTED_DEST);
        }
    }

    /// What feeds the response goes, if something does.
    pub fn disconnect_feeder(&self) {
        if self.stage().is_fed {
            self.change(|stage| stage.is_fed = false);
            let source = self.source.take();
            if let Some(source) = source {
                source.disconnect();
            }
            self.tell(sys::LI_STREAM_DISCONNECTED_SOURCE);
            if let Some(source) = source {
                source.let_go();
            }
        }
    }

    /// The stream goes.
    pub fn destroy(&self) {
        // SAFETY: the stream is there, and what it has no more is not looked at by the stand-in.
        unsafe { (*self.stream()).out = ptr::null_mut() };
        self.tell(sys::LI_STREAM_DESTROY);
    }

    /// The connection waits for another request: nothing is counted of that yet.
    pub fn restart(&self) {
        self.given().set(0);
        self.sent().set(0);
    }

    /// Something happens to the stream: calls what is its callback now.
    pub fn tell(&self, event: sys::liStreamEvent) {
        let stream = self.stream();
        self.is_heard.set(false);
        // SAFETY: the stream is there, and the callback is ours or one that the module has put there for it.
        unsafe {
            let Some(callback) = (*stream).cb else { broken("a stream without a callback") };
            callback(stream, event);
        }
        if !self.is_heard.get() {
            broken("a stream's callback keeps to itself what happens to the stream");
        }
    }

    /// Ends the program where the callback is not ours.
    pub fn check_callback(&self) {
        // SAFETY: the stream is there.
        let now = unsafe { (*self.stream()).cb }.map(|now| now as *const ());
        if now != Some(callback as *const ()) {
            broken("a stream's callback is not restored when its request is over");
        }
    }

    /// Ends the program where the module has changed it.
    pub fn check(&self) {
        let stream = self.stream();
        // SAFETY: no callback runs; these parts are not read by other threads.
        unsafe {
            let job = &raw mut (*stream).opaque_job;
            let (mark, _) = own_place::<Own, _>(job).read_unaligned();
            let rest = job.cast_const().cast::<u8>().add(size_of::<Own>());
            let is_whole = mark == MARK
                && is_unset(ptr::slice_from_raw_parts(rest, size_of_val(&*job) - size_of::<Own>()))
                && self.is_feeder_untouched();
            if !is_whole {
                broken("it writes where it knows nothing of");
            }
            if !self.stage().is_in(self.connection(), self.fed_by()) {
                broken("it changes what a connection says of its response");
            }
        }
    }

    /// Gives the connection what waits, and says how many bytes that are.
    fn take(&self, state: &State) -> usize {
        if !self.stage().is_fed {
            return 0;
        }
        let mut waiting = self.waiting.take();
        let begins = !self.stage().has_headers;
        if begins {
            self.change(|stage| stage.has_headers = true);
        }
        if let Some(source) = self.source.get() {
            self.take_from(source, &mut waiting, state, begins);
        } else {
            if begins {
                self.begin_with(&mut waiting, state);
            }
            self.fed().add(waiting.body);
        }
        let bytes = waiting.header + waiting.body;
        self.given().add(bytes);
        if waiting.is_closed {
            self.change(|stage| {
                stage.is_complete = true;
                if stage.connection < sys::LI_CON_STATE_WRITE {
                    stage.connection = sys::LI_CON_STATE_WRITE;
                }
            });
            self.disconnect_feeder();
        }
        bytes
    }

    /// Takes what waits in a stream of the module's, and makes of it what is sent.
    fn take_from(&self, source: Stream, waiting: &mut Waiting, state: &State, begins: bool) {
        let is_closed = source.is_closed();
        let mut data = source.take();
        *waiting = Waiting { header: 0, body: data.len(), is_closed };
        if begins {
            self.begin_with(waiting, state);
            waiting.header = state.wire.begin(state, is_closed);
            data.truncate(waiting.body);
        }
        waiting.body = state.wire.push(&data, waiting.is_closed);
        state.body.borrow_mut().append(&mut data);
    }

    /// What feeds it while something does.
    fn fed_by(&self) -> *mut sys::liStream {
        self.source.get().map_or(self.feeder.as_ptr(), Stream::as_ptr)
    }

    /// What the connection was given.
    pub fn given(&self) -> Counter {
        // SAFETY: the connection has its stream with its queue.
        unsafe { Counter::of(&raw mut (*(*self.stream()).out).bytes_in) }
    }

    /// What has gone into the socket.
    pub fn sent(&self) -> Counter {
        // SAFETY: it is a part of the connection.
        unsafe { Counter::of((&raw mut (*self.connection()).info.stats.bytes_out).cast()) }
    }

    /// Makes a header, as far as the module can see it: what does not belong to a response without a body goes, and the
    /// length of one that is there as a whole is said.
    fn begin_with(&self, waiting: &mut Waiting, state: &State) {
        // SAFETY: the request is this thread's.
        let (method, status) = unsafe {
            let vr = self.vrequest();
            ((*vr).request.http_method, (*vr).response.http_status)
        };
        let is_head = method == sys::LI_HTTP_METHOD_HEAD;
        let is_without_body = has_no_body(status);
        if waiting.is_closed && !is_without_body && !(is_head && waiting.body == 0) {
            state.response_headers.overwrite(b"Content-Length", waiting.body.to_string().as_bytes());
        }
        if is_head || is_without_body {
            waiting.body = 0;
            waiting.is_closed = true;
        }
    }

    /// Bytes that what feeds the response has given.
    fn fed(&self) -> Counter {
        // SAFETY: it is inside the object.
        unsafe { Counter::of(&raw mut (*self.feeding.as_ptr()).bytes_out) }
    }

    fn is_feeder_untouched(&self) -> bool {
        let feeder = self.feeder.as_ptr();
        // SAFETY: no callback runs.
        unsafe {
            ptr::eq((*feeder).out, self.feeding.as_ptr())
                && is_unset(&raw const (*feeder).opaque_refcount)
                && is_unset(&raw const (*feeder).source)
                && is_unset(&raw const (*feeder).opaque_dest)
                && is_unset(&raw const (*feeder).opaque_job)
                && is_unset(&raw const (*feeder).cb)
        }
    }

    fn stream(&self) -> *mut sys::liStream {
        // SAFETY: it is a part of the connection.
        unsafe { &raw mut (*self.connection()).out }
    }
}

/// What is called first when something happens to a connection's `out`, unless the module has put something before it.
unsafe extern "C" fn callback(stream: *mut sys::liStream, event: sys::liStreamEvent) {
    if stream.is_null() {
        broken("a stream's callback is called for NULL");
    }
    // SAFETY: whoever calls it promises a stream; only with the mark is it that of a connection, with its state.
    let state = unsafe {
        let (mark, state) = own_place::<Own, _>(&raw mut (*stream).opaque_job).read_unaligned();
        if mark != MARK {
            broken("a stream's callback is called for another stream");
        }
        State::checked(state)
    };
    match event {
        sys::LI_STREAM_NEW_DATA | sys::LI_STREAM_CONNECTED_SOURCE => {
            let bytes = state.out.take(state);
            if state.out.stage().is_complete {
                ending::finish_at_once(state, bytes);
            }
        }
        sys::LI_STREAM_DISCONNECTED_SOURCE if state.out.stage().is_complete => {}
        sys::LI_STREAM_DISCONNECTED_SOURCE | sys::LI_STREAM_DISCONNECTED_DEST => ending::break_off(state),
        // SAFETY: it is the `out` of a connection.
        sys::LI_STREAM_DESTROY => unsafe {
            let con = stream.byte_sub(offset_of!(sys::liConnection, out)).cast::<sys::liConnection>();
            (*con).info.resp = ptr::null_mut();
        },
        _ => {}
    }
    state.out.is_heard.set(true);
}
