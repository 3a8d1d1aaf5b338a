//! Which request another one is about.

use crate::config;
use crate::shared::Plugin;
use lighttpd2::VRequest;
use progress::{RequestId, id_of};
use std::borrow::Cow;

/// The id that a request has, or asks for.
pub struct FoundId<'a> {
    bytes: Cow<'a, [u8]>,
    scope: Option<Vec<u8>>,
}

/// The header that can have an id, too.
const HEADER: &str = "X-Progress-ID";

/// The id of a request: what the first usable pattern of `progress.id` makes of it, or else what its query string has, or
/// its header. `None` where `progress.scope` gives nothing, too.
pub fn find<'a>(plugin: Plugin<'a>, vr: VRequest<'a>) -> Option<FoundId<'a>> {
    let bytes = match config::id(vr, plugin) {
        None => Cow::Borrowed(id_of(vr.query(), || vr.header(HEADER))?.bytes()),
        Some(patterns) => {
            let mut made = patterns.iter().map(|pattern| vr.evaluate(pattern));
            Cow::Owned(made.find(|bytes| RequestId::new(bytes).is_some())?)
        }
    };
    let scope = config::scope(vr, plugin).map(|pattern| vr.evaluate(pattern));
    // Whoever is in none, where there are some, would share it with all others who are.
    scope.as_ref().is_none_or(|scope| !scope.is_empty()).then_some(FoundId { bytes, scope })
}

impl FoundId<'_> {
    /// It as the table takes it.
    pub fn as_id(&self) -> Option<RequestId<'_>> {
        let id = RequestId::new(&self.bytes)?;
        Some(self.scope.as_ref().map_or(id, |scope| id.within(scope)))
    }
}
