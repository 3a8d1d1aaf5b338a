//! mod_progress for lighttpd2: one request asks how far another one is.
//!
//! lighttpd2 loads the shared library and calls [`plugin::mod_progress_init`], which registers
//!
//! | name | kind | where |
//! | --- | --- | --- |
//! | `progress.ttl` | setup | `plugin::config` |
//! | `progress.methods`, `progress.debug` | options | `plugin::config` |
//! | `progress.track` | action | `plugin::track` |
//! | `progress.show` | action | `plugin::show` |
//! | `handle_prepare` | callback | `plugin` |
//! | `handle_close`, `handle_vrclose` | callbacks | `plugin::track` |
//!
//! Three layers, each of which knows only those below it:
//! - [`plugin`]: the entry points that lighttpd2 calls, and what they do.
//! - [`lighttpd2`]: safe views of lighttpd2's objects, made from its ABI.
//! - [`progress`]: ids, numbers, states, formats, and the table of all tracked requests; without lighttpd2.
//!
//! `docs/design.md` tells how they work together and which facts about lighttpd2 that rests on.

pub mod plugin;
