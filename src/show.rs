//! `progress.show`: answers how far another request is.

use crate::shared::{Plugin, Progress};
use crate::{Local, clock, config, cors, id};
use lighttpd2::{ActionFn, Level, Log, Performed, Refusal, VRequest, Value, Wait};
use progress::{About, Callback, Format, Snapshot, State, Subject, Template, Timestamp};

/// How answers are written.
pub enum Form {
    /// In a format of the table.
    Format(&'static Format),
    /// As the configuration spells it out.
    Template(Template),
}

/// The action with its value.
pub fn create(_: &Progress, value: Value<'_>) -> Result<ActionFn<Progress>, Refusal> {
    let form = config::form(value)?;
    Ok(Box::new(move |plugin, vr, waited| show(plugin, vr, &form, waited).map_or(Performed::Done, Performed::Waits)))
}

/// Answers with what is known of the request whose id is asked for. Does nothing where there is no usable id, or where the
/// request is already handled. What other hosts have to be asked for is waited for; `waited`: it was.
fn show(plugin: Plugin<'_>, vr: VRequest<'_>, form: &Form, waited: Option<Wait>) -> Option<Wait> {
    if vr.is_handled() || cors::answer_preflight(plugin, vr) {
        return None;
    }
    let debug = config::is_debug(vr, plugin);
    let found = id::find(plugin, vr);
    let Some(id) = found.as_ref().and_then(id::FoundId::as_id) else {
        if debug {
            vr.log(Level::Debug, "progress.show: X-Progress-Id not specified");
        }
        return None;
    };
    let now = clock::now();
    let table = plugin.module().table()?;
    let mut snapshot = table.look_up(id, now).ok()?;
    // What was broken off may have been begun again at another host.
    if plugin.module().tells_others() && snapshot.as_ref().is_none_or(Snapshot::is_broken_off) {
        let elsewhere = match look_elsewhere(plugin, vr, table.subject(id), now, waited) {
            Ok(elsewhere) => elsewhere,
            Err(wait) => return Some(wait),
        };
        snapshot = Snapshot::newest(elsewhere, snapshot);
    }
    if debug {
        let found = if snapshot.is_none() { "unknown" } else { "found" };
        vr.log(Level::Debug, &format!("progress.show: progress id \"{}\" {found}", id.bytes().escape_ascii()));
    }
    let callback = form
        .callback()
        .and_then(|callback| callback.name(vr.query(), config::callback_key(vr, plugin).unwrap_or(callback.key)));
    let about = About {
        snapshot: snapshot.as_ref(),
        id: id.bytes(),
        details: None,
        callback,
        success: config::success(vr, plugin),
        now,
        unix_time: clock::unix_time,
    };
    if let Some(tally) = plugin.module().tally(vr.worker()) {
        tally.add_poll(form.state(&about));
    }
    cors::allow(plugin, vr);
    vr.set_response_header("Content-Type", form.content_type(callback.is_some()).as_bytes());
    vr.set_response_header("X-Content-Type-Options", b"nosniff");
    if !vr.has_response_header("Cache-Control") {
        for (name, value) in form.caching() {
            vr.set_response_header(name, value.as_bytes());
        }
    }
    vr.respond(200, &form.write(&about));
    None
}

/// What others know of a request that is not known here, or was broken off.
///
/// # Errors
/// What is to be waited for, where that comes later.
#[cold]
fn look_elsewhere(
    plugin: Plugin<'_>,
    vr: VRequest<'_>,
    subject: Subject,
    now: Timestamp,
    waited: Option<Wait>,
) -> Result<Option<Snapshot>, Wait> {
    let Some(desk) = vr.desk(plugin) else { return Ok(None) };
    let Local { store, share, .. } = &mut *desk.local();
    if let Some(wait) = waited {
        // lighttpd2 performs an action again for other reasons, too.
        return share.take(wait).ok_or(wait);
    }
    let known = store.look_up(plugin, desk, subject, now);
    if !vr.has_connection() || known.as_ref().is_some_and(|known| !known.is_broken_off()) {
        return Ok(known);
    }
    share.ask(plugin, desk, subject, now).map_or(Ok(known), Err)
}

impl Form {
    fn content_type(&self, calls: bool) -> &str {
        match self {
            Self::Format(format) => format.content_type(calls),
            Self::Template(template) => template.content_type(),
        }
    }

    fn caching(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Format(format) => format.caching,
            Self::Template(_) => <&Format>::default().caching,
        }
    }

    fn callback(&self) -> Option<&'static Callback> {
        match self {
            Self::Format(format) => format.callback,
            Self::Template(_) => Some(Template::CALLBACK),
        }
    }

    fn state(&self, about: &About<'_>) -> State {
        match self {
            Self::Format(format) => format.state(about),
            Self::Template(template) => template.state(about),
        }
    }

    fn write(&self, about: &About<'_>) -> Vec<u8> {
        match self {
            Self::Format(format) => format.write(about),
            Self::Template(template) => template.write(about),
        }
    }
}
