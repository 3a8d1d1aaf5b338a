//! The example's own configuration, which the other tests' sites only resemble.

use crate::page::{DOWNLOAD, DOWNLOAD_SIZE, FILE, SOME, on, rising_shares};
use std::fs::File;
use testkit::suite::{Need, Test};
use testkit::{Backend, Site};

pub const TESTS: &[Test] = &[Test::new("config::the_example_shows_bars_on_lighttpd2", example)
    .needs(&[Need::Browser, Need::Lighttpd2("it is a configuration of lighttpd2")])];

const EXAMPLE: &str = include_str!("../../../examples/upload/lighttpd.conf");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/upload");

fn example() {
    let (backend, files) = (Backend::answering(), tempfile::tempdir().expect("a folder"));
    File::create(files.path().join(DOWNLOAD)).and_then(|file| file.set_len(DOWNLOAD_SIZE)).expect("a file");
    let files = files.path().to_str().expect("a path in UTF-8");
    let replaced = [
        ("127.0.0.1:9000", backend.address().to_string()),
        ("docroot \".\"", format!("docroot \"{FOLDER}\"")),
        ("docroot \"/srv/files\"", format!("docroot \"{files}\"")),
    ];
    let config = replaced.iter().fold(EXAMPLE.to_string(), |config, (part, other)| {
        assert!(config.contains(part), "no {part}");
        config.replace(part, other)
    });
    on(&Site::written(&config), |page| {
        page.upload(SOME);
        let shown = page.watch(FILE);
        assert!(rising_shares(&shown).len() >= 4, "{shown:#?}");
        assert_eq!(shown.last().map(|row| row.phase.as_str()), Some("done"), "{shown:#?}");
        page.download();
        let shown = page.watch(DOWNLOAD);
        assert!(rising_shares(&shown).len() >= 4, "{shown:#?}");
        assert_eq!(shown.last().map(|row| row.phase.as_str()), Some("done"), "{shown:#?}");
    });
}
