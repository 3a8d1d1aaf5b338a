//! `progress.show`: answers how far another request is.

use crate::shared::{Plugin, Progress};
use crate::{clock, config, cors, id};
use lighttpd2::{ActionFn, Level, Log, Refusal, VRequest, Value, at_once};
use progress::{About, Callback, Format, State, Template};

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
    Ok(at_once(move |plugin, vr| show(plugin, vr, &form)))
}

/// Answers with what is known of the request whose id is asked for. Does nothing where there is no usable id, or where the
/// request is already handled.
fn show(plugin: Plugin<'_>, vr: VRequest<'_>, form: &Form) {
    if vr.is_handled() || cors::answer_preflight(plugin, vr) {
        return;
    }
    let debug = config::is_debug(vr, plugin);
    let found = id::find(plugin, vr);
    let Some(id) = found.as_ref().and_then(id::FoundId::as_id) else {
        if debug {
            vr.log(Level::Debug, "progress.show: X-Progress-Id not specified");
        }
        return;
    };
    let now = clock::now();
    let Some(table) = plugin.module().table() else { return };
    let Ok(mut snapshot) = table.look_up(id, now) else { return };
    if let Some(desk) = vr.desk(plugin).filter(|_| snapshot.is_none() && plugin.module().store().is_some()) {
        snapshot = desk.local().store.look_up(plugin, desk, table.subject(id), now);
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
