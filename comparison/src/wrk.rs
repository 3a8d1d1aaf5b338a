//! Load for some seconds, made by `wrk`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// What `wrk` counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    pub requests: u64,
    pub per_second: f64,
}

/// Load on a server.
#[derive(Clone, Copy)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    pub seconds: u64,
}

impl Load {
    /// Asks for `target` again and again.
    ///
    /// # Errors
    /// Where `wrk` fails, or the server does not answer with success.
    pub fn get(&self, target: &str) -> Result<Counted, String> {
        self.run(target, None)
    }

    /// Sends requests that differ in their id: the numbers from `ids.start` on, and then again, in 32 digits. `script` is a file
    /// to be written.
    ///
    /// # Errors
    /// Where `wrk` fails, or the server does not answer with success.
    pub fn with_ids(
        &self,
        method: &str,
        target: &str,
        ids: std::ops::Range<u64>,
        script: &Path,
    ) -> Result<Counted, String> {
        let body = if method == "POST" { r"Content-Length: 2\r\n\r\nhi" } else { r"\r\n" };
        let text = format!(
            "local number = -1\n\
             local form = \"{method} {target}?X-Progress-Id=%032d HTTP/1.1\\r\\nHost: localhost\\r\\n{body}\"\n\
             function request()\n\
             \tnumber = (number + 1) % {}\n\
             \treturn form:format({} + number)\n\
             end\n",
            ids.end - ids.start,
            ids.start
        );
        std::fs::write(script, text).map_err(|error| format!("a script for wrk: {error}"))?;
        self.run("/", Some(script))
    }

    fn run(&self, target: &str, script: Option<&Path>) -> Result<Counted, String> {
        let mut command = Command::new("wrk");
        command.args(["-t1", "--timeout", "30s"]);
        command.arg(format!("-c{}", self.connections)).arg(format!("-d{}s", self.seconds));
        command.args(script.iter().flat_map(|script| ["-s".as_ref(), script.as_os_str()]));
        command.arg(format!("http://{}{target}", self.address));
        let output = testkit::output(command).map_err(|error| format!("wrk: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).ok_or_else(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// What `wrk` says, unless something went wrong.
fn parse(text: &str) -> Option<Counted> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    let per_second = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
    (requests > 0).then_some(Counted { requests, per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Running 1s test @ http://127.0.0.1:8080/\n  1 threads and 16 connections\n  Thread Stats   Avg\n  \
                        42000 requests in 1.00s, 5.00MB read\nRequests/sec:  41999.50\nTransfer/sec:      5.00MB\n";

    #[test]
    fn its_output_is_read() {
        assert_eq!(parse(TEXT), Some(Counted { requests: 42000, per_second: 41999.5 }));
    }

    #[test]
    fn failures_are_not_counted_as_requests() {
        for wrong in ["  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 1, write 0, timeout 0\n"] {
            assert_eq!(parse(&format!("{TEXT}{wrong}")), None, "{wrong}");
        }
        assert_eq!(parse("unable to connect"), None);
    }
}
