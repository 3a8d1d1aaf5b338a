//! mod_progress for lighttpd2: one request asks how far another one is.

pub mod progress;
pub mod sys;
