//! lighttpd2's module ABI, as bindgen writes it.
#![allow(non_upper_case_globals, non_camel_case_types, non_snake_case, missing_docs, dead_code)]
#![allow(clippy::all, clippy::undocumented_unsafe_blocks)]

include!(concat!(env!("OUT_DIR"), "/lighttpd2.rs"));
