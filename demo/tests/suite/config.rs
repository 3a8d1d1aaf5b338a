//! The configurations for lighttpd2 that users are shown.

use testkit::suite::{Need, Test};
use testkit::{Level, Site};

pub const TESTS: &[Test] = &[
    Test::new("config::lighttpd2_takes_the_example", example).needs(LIGHTTPD2),
    Test::new("config::lighttpd2_takes_the_one_in_the_readme", readme).needs(LIGHTTPD2),
];

const EXAMPLE: &str = include_str!("../../../examples/upload/lighttpd.conf");
const README: &str = include_str!("../../../README.md");

const LIGHTTPD2: &[Need] = &[Need::Lighttpd2("it is a configuration of lighttpd2")];

fn example() {
    assert_taken(EXAMPLE);
}

fn readme() {
    let lines = README.lines().skip_while(|line| *line != "    setup {");
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    assert_taken(&lines.collect::<Vec<_>>().join("\n"));
}

fn assert_taken(config: &str) {
    assert!(config.contains("127.0.0.1:8080"));
    let checked = Site::written(config).check();
    assert!(checked.status.success() && checked.log.iter().all(|line| line.level != Level::Error), "{checked:#?}");
}
