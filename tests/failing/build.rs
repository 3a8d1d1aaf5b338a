//! Puts panics into the module's sources.

use std::path::Path;
use std::{env, fs};

/// Places in the sources: what each is called, its file, and the line after which it comes.
const PLACES: &[(&str, &str, &str)] = &[
    ("tick", "lib.rs", "fn tick(plugin: Plugin<'_>, server: Server, worker: usize, workers: usize) -> Again {"),
    ("woken", "lib.rs", "fn woken(plugin: Plugin<'_>, desk: Desk<'_>) {"),
    ("beat", "lib.rs", "fn beat(plugin: Plugin<'_>, desk: Desk<'_>) -> bool {"),
    ("outlet_gone", "lib.rs", "fn outlet_gone(plugin: Plugin<'_>, desk: Desk<'_>, outlet: Outlet) {"),
    ("stopping", "lib.rs", "fn stopping(plugin: Plugin<'_>) {"),
    // Its counters are in the table, and nothing knows of that but the table.
    ("track", "track.rs", "Ok(ticket) => {"),
    ("response", "track.rs", "pub fn responding(plugin: Plugin<'_>, vr: VRequest<'_>, beginning: Beginning) {"),
    ("close", "track.rs", "pub fn closing(plugin: Plugin<'_>, connection: Connection<'_>) {"),
    // They are there still, and lighttpd2 frees the request.
    ("vrclose", "track.rs", "pub fn closed(plugin: Plugin<'_>, vr: VRequest<'_>) {"),
    (
        "tunnel_end",
        "track.rs",
        "pub fn tunnel_ended(plugin: Plugin<'_>, vr: VRequest<'_>, word: usize, closing: Closing) {",
    ),
    // Others are told of the end, and nobody here.
    ("tell_end", "track.rs", "let Local { store, share, .. } = &mut *desk.local();"),
    ("ended", "track.rs", "let Some(ended) = ended else { return };"),
    // Under the lock of a shard.
    ("read", "shared.rs", "fn read(&self) -> Numbers {"),
];

fn main() {
    let (from, to) = (Path::new("../../src"), env::var_os("OUT_DIR").expect("cargo says where"));
    println!("cargo::rerun-if-changed={}", from.display());
    let mut places = Vec::new();
    for entry in fs::read_dir(from).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        let mut text = String::new();
        for line in fs::read_to_string(&path).expect("a source").lines() {
            // What is included has no documentation of its own.
            text += if line.starts_with("//!") { "" } else { line };
            text += "\n";
            for (place, ..) in PLACES.iter().filter(|(_, file, after)| *file == name && *after == line.trim()) {
                text += &format!("crate::fail({place:?});\n");
                places.push(*place);
            }
        }
        fs::write(Path::new(&to).join(name), text).expect("there is room");
    }
    for (place, file, after) in PLACES {
        let times = places.iter().filter(|one| *one == place).count();
        assert!(times == 1, "{file} has {times} times the line that {place} comes after: {after}");
    }
}
