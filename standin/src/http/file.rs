//! Files from below a folder.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// The file for a request's path, and its length in bytes. `None` where there is none.
pub fn open(folder: &Path, path: &[u8]) -> Option<(File, u64)> {
    let below = Path::new(OsStr::from_bytes(path)).strip_prefix("/").ok()?;
    if !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let file = File::open(folder.join(below)).ok()?;
    let facts = file.metadata().ok().filter(|facts| facts.is_file())?;
    Some((file, facts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_files_below_the_folder_only() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(open(folder, b"/src/lib.rs").map(|(_, length)| length > 0), Some(true));
        for path in ["/src", "/src/../Cargo.toml", "/../standin/Cargo.toml", "Cargo.toml", "/nothing", "/a\0b", "*"] {
            assert!(open(folder, path.as_bytes()).is_none(), "{path}");
        }
    }
}
