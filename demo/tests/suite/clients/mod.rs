//! Progress bars that there are for other servers, unchanged, with a line of configuration for each.
//!
//! What a registry has is fetched from there. Other clients are written anew, by what they send and what they read: their
//! authors' files have no place in this project.

mod django;
mod gate;
mod header_only;
mod jquery_upload_progress;
mod lighttpd_1_4;
pub mod packages;
mod polled;
mod programs;
mod readme;
mod stage;

use crate::IN_BROWSER;
use packages::{DJANGO_PROGRESSBARUPLOAD, JQUERY, Package};
use testkit::suite::{Need, Test};

pub const TESTS: &[Test] = &[
    Test::new("clients::jquery_upload_progress_with_json", jquery_upload_progress::json).needs(WITH_JQUERY),
    Test::new("clients::jquery_upload_progress_with_jsonp", jquery_upload_progress::jsonp).needs(WITH_JQUERY),
    Test::new("clients::jquery_upload_progress_with_its_own_callback", jquery_upload_progress::other_callback)
        .needs(WITH_JQUERY),
    Test::new("clients::jquery_upload_progress_after_an_error", jquery_upload_progress::error).needs(WITH_JQUERY),
    Test::new("clients::jquery_upload_progress_after_a_broken_line", jquery_upload_progress::broken_off)
        .needs(WITH_JQUERY),
    Test::new("clients::jquery_alone_takes_json_by_its_content_type", jquery_upload_progress::content_types)
        .needs(WITH_JQUERY),
    Test::new("clients::page_in_the_readme_of_nginxs_module", readme::nginx).needs(IN_BROWSER),
    Test::new("clients::page_in_the_readme_of_nginxs_module_after_an_error", readme::error).needs(IN_BROWSER),
    Test::new("clients::page_of_lighttpd_1_5", readme::lighttpd_1_5).needs(IN_BROWSER),
    Test::new("clients::page_of_apaches_module", readme::apache).needs(IN_BROWSER),
    Test::new("clients::page_for_lighttpd_1_4", lighttpd_1_4::xml).needs(IN_BROWSER),
    Test::new("clients::client_for_prototype", header_only::prototype).needs(IN_BROWSER),
    Test::new("clients::nginx_upload_progress_for_jquery", header_only::eopas).needs(WITH_JQUERY),
    Test::new("clients::django_progressbarupload", django::nginx).needs(WITH_DJANGO_PROGRESSBARUPLOAD),
    Test::new("clients::django_progressbarupload_answered_as_by_its_own_server", django::as_its_own)
        .needs(WITH_DJANGO_PROGRESSBARUPLOAD),
    Test::new("clients::client_sh", programs::client_sh).needs(&[Need::Program("curl")]),
    Test::new("clients::devhost_py", programs::devhost).needs(&[Need::Program("python3")]),
];

const WITH_JQUERY: &[Need] = &[Need::Browser, Need::Provided(jquery)];
const WITH_DJANGO_PROGRESSBARUPLOAD: &[Need] =
    &[Need::Browser, Need::Provided(jquery), Need::Provided(|| DJANGO_PROGRESSBARUPLOAD.fetch())];

fn jquery() -> Result<(), String> {
    JQUERY.iter().try_for_each(Package::fetch)
}
