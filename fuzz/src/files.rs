//! What stands in the files of other processes.

use crate::{Cost, Target};
use elsewhere::inputs::Store;
use tempfile::TempDir;

pub const STORE: Target = Target {
    name: "store",
    dictionary: &[],
    run: |input| {
        thread_local! {
            static STORE: (TempDir, Store) = {
                let folder = tempfile::tempdir().expect("a folder");
                let store = Store::new(folder.path());
                (folder, store)
            };
        }
        STORE.with(|(_, store)| store.read(input));
    },
    cost: Cost::Much,
};
