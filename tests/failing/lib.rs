//! mod_progress itself, into whose sources `build.rs` puts calls of `fail`: they know nothing of that.

include!(concat!(env!("OUT_DIR"), "/lib.rs"));

/// Panics, if the folder that `FAILS` names has a file with the name of this place: once, since the file goes with it.
fn fail(place: &str) {
    if std::env::var_os("FAILS")
        .is_some_and(|folder| std::fs::remove_file(std::path::Path::new(&folder).join(place)).is_ok())
    {
        panic!("a panic at {place}");
    }
}
