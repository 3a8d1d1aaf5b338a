//! How a connection lets go of its request, in lighttpd2's order.

use crate::request::Close;
use crate::stage::Stage;
use crate::state::State;
use lighttpd2::sys;
use std::ptr;

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has a request.
    #[default]
    Busy,
    /// It ends.
    Closing,
    /// It has let go of its request.
    Over,
}

/// Lets go of a request.
pub(crate) fn end(state: &State, how: Close) {
    let out = &state.out;
    match how {
        _ if state.life.get() == Life::Over => {}
        Close::KeptAlive | Close::Ended => {
            assert!(!state.is_waiting(), "no response is whole before its request's last action");
            state.ends_at_once.set(Some(how));
            state.complete();
            if state.ends_at_once.take().is_some() {
                finish(state, how);
            }
        }
        Close::BrokenOff => break_off(state),
        Close::Disconnected => out.disconnect(),
        Close::Failed if out.stage().is_fed => out.disconnect_feeder(),
        Close::Failed | Close::Error => {
            out.change(|stage| {
                if stage.state != sys::LI_VRS_CLEAN {
                    stage.state = sys::LI_VRS_ERROR;
                }
            });
            out.disconnect();
        }
        Close::TimedOut => {
            out.change(|stage| stage.is_timed = false);
            handle_close(state);
            reset(state);
        }
        Close::Stopped => reset(state),
    }
    assert_eq!(state.life.get(), Life::Over, "it has ended");
    if how != Close::KeptAlive {
        out.destroy();
    }
}

/// The last bytes of a response are given to the connection, and the socket takes them: if that is to be the end, it is here.
pub(crate) fn finish_at_once(state: &State, bytes: usize) {
    if let Some(how) = state.ends_at_once.take() {
        state.out.sent().add(bytes);
        finish(state, how);
    }
}

/// The whole response has gone into the socket.
fn finish(state: &State, how: Close) {
    handle_close(state);
    state.life.set(Life::Closing);
    if how == Close::KeptAlive {
        assert!(!state.is_upgraded.get(), "a connection that was upgraded is not kept for HTTP");
        let connection = sys::LI_CON_STATE_KEEP_ALIVE;
        state.out.change(|stage| *stage = Stage { is_timed: false, state: stage.state, connection, ..Stage::NEW });
        reset_request(state);
        state.out.restart();
        state.life.set(Life::Over);
    } else {
        state.out.change(|stage| stage.connection = sys::LI_CON_STATE_CLOSE);
        state.out.disconnect();
        reset(state);
    }
}

/// The connection ends before its time.
pub(crate) fn break_off(state: &State) {
    if state.life.get() != Life::Busy {
        return;
    }
    state.life.set(Life::Closing);
    state.out.change(|stage| {
        stage.is_aborted = true;
        stage.connection = sys::LI_CON_STATE_CLOSE;
    });
    state.out.disconnect();
    handle_close(state);
    reset(state);
}

/// The connection goes on without its request.
pub(crate) fn upgrade(state: &State) {
    state.is_upgraded.set(true);
    state.out.upgrade();
    reset_request(state);
}

/// The connection becomes one without a client.
fn reset(state: &State) {
    state.life.set(Life::Closing);
    state.out.change(|stage| {
        stage.is_aborted = true;
        stage.connection = sys::LI_CON_STATE_DEAD;
    });
    state.out.disconnect();
    state.out.disconnect_feeder();
    reset_request(state);
    state.life.set(Life::Over);
}

/// The request becomes a new one, but for what the module may look at until the next one comes.
fn reset_request(state: &State) {
    let vr = state.out.vrequest();
    // SAFETY: the module uses it in actions only; it is released before `handle_vrclose`.
    unsafe { (*vr).direct_out = ptr::null_mut() };
    drop(state.direct.take());
    state.release_streams();
    state.clean_up();
    if state.out.stage().state != sys::LI_VRS_CLEAN {
        // SAFETY: the request is this thread's.
        unsafe { state.server().handle_vrclose(vr) };
        state.out.change(|stage| stage.state = sys::LI_VRS_CLEAN);
    }
    state.event_loop().jobs.forget(state);
    state.response_headers.clear();
    // Whoever watches a connection goes on with that where it was upgraded.
    if !state.is_upgraded.get() {
        state.out.check_callback();
    }
}

fn handle_close(state: &State) {
    // SAFETY: the connection is this thread's.
    unsafe { state.server().handle_close(state.out.connection()) };
}
