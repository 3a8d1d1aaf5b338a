//! What `progress.show` answers, as numbers.

use serde_json::Value;

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no such request.
    Unknown,
    /// It has not ended.
    Running,
    /// It ended well.
    Done,
    /// It ended otherwise.
    Error,
}

/// An answer in the format `json`; a field that is left out is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it is with the request.
    pub state: State,
    /// Bytes of its body that have arrived.
    pub received: Option<u64>,
    /// Bytes of its response that have gone to the client, with the head.
    pub sent: Option<u64>,
    /// Bytes of its body in all.
    pub request_size: Option<u64>,
    /// Bytes of its response so far, with the head.
    pub response_size: Option<u64>,
    /// The HTTP status of a response that did not end well.
    pub status: Option<u64>,
}

impl Report {
    /// The report in an answer's body.
    ///
    /// # Errors
    /// Where it is not a report, with the body.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let wrong = || format!("not a report: {:?}", String::from_utf8_lossy(body));
        let report: Value = serde_json::from_slice(body).map_err(|error| format!("{}: {error}", wrong()))?;
        let state = match report["state"].as_str() {
            Some("unknown") => State::Unknown,
            Some("running") => State::Running,
            Some("done") => State::Done,
            Some("error") => State::Error,
            _ => return Err(wrong()),
        };
        let field = |name: &str| report.get(name).map(|value| value.as_u64().ok_or_else(wrong)).transpose();
        Ok(Self {
            state,
            received: field("received")?,
            sent: field("sent")?,
            request_size: field("request_size")?,
            response_size: field("response_size")?,
            status: field("status")?,
        })
    }

    /// Whether the request has not ended.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_left_out_differ_from_zero() {
        let report = Report::parse(br#"{"state": "running", "received": 0, "sent": 3}"#).unwrap();
        assert_eq!((report.state, report.received, report.sent), (State::Running, Some(0), Some(3)));
        assert_eq!((report.request_size, report.status), (None, None));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for body in ["", "{}", "progress({})", r#"{"state": "lost"}"#, r#"{"state": "running", "sent": -1}"#] {
            assert!(Report::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
