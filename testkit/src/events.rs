//! Reads server-sent events.

use crate::client::Client;
use crate::response::{Body, HttpResponse};
use serde_json::Value;
use std::collections::VecDeque;

/// An event, or a comment, or a time to come back after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What it is called.
    pub name: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// Its data; none for what is only a comment or a `retry`.
    pub data: Option<String>,
    /// Milliseconds after which to come back.
    pub retry: Option<u64>,
}

/// A response of server-sent events.
pub struct Events {
    client: Client,
    /// Its head.
    pub head: HttpResponse,
    size: u64,
    text: String,
    ready: VecDeque<Event>,
    is_over: bool,
}

impl Event {
    /// Its data, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn parse(block: &str) -> Self {
        let mut event = Self::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_string();
            match field {
                "event" => event.name = Some(value),
                "id" => event.id = Some(value),
                "data" => event.data = Some(value),
                "retry" => event.retry = value.parse().ok(),
                "" => {}
                other => panic!("a field {other:?} in {block:?}"),
            }
        }
        event
    }
}

impl Events {
    /// Asks for events; `headers` are whole lines. The answer may be something else: see its head.
    #[track_caller]
    pub fn ask(mut client: Client, target: &str, headers: &str) -> Self {
        client.request("GET", target, &format!("Accept: text/event-stream\r\n{headers}"), b"");
        Self::begin(client)
    }

    /// The answer to a client that has asked for events.
    #[track_caller]
    pub fn begin(mut client: Client) -> Self {
        let head = client.answer_head();
        Self { client, head, size: 0, text: String::new(), ready: VecDeque::new(), is_over: false }
    }

    /// The next one; `None` where the response has come to its end.
    #[track_caller]
    pub fn next_event(&mut self) -> Option<Event> {
        while self.ready.is_empty() && !self.is_over {
            let part = match self.head.body_of("GET") {
                Body::Chunked => self.client.chunk(&mut self.size),
                // All that there is to tell is there at once.
                Body::Length(length) if self.size == 0 => Some(self.client.read(length)),
                Body::Length(_) => None,
                Body::UntilClosed => self.client.part(),
            };
            self.size += part.as_ref().map_or(0, Vec::len) as u64;
            self.is_over = part.is_none();
            self.text += std::str::from_utf8(&part.unwrap_or_default()).expect("events are UTF-8");
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                self.ready.push_back(Event::parse(&block));
            }
        }
        self.ready.pop_front()
    }

    /// The next one that is called so; others before it are left out.
    #[track_caller]
    pub fn next_named(&mut self, name: &str) -> Event {
        while let Some(event) = self.next_event() {
            if event.name.as_deref() == Some(name) {
                return event;
            }
        }
        panic!("no event {name} before the end")
    }

    /// The next one whose data are as expected.
    #[track_caller]
    pub fn next_where(&mut self, expected: impl Fn(&Value) -> bool) -> Event {
        while let Some(event) = self.next_event() {
            if event.data.is_some() && expected(&event.json()) {
                return event;
            }
        }
        panic!("no such event before the end")
    }

    /// What the client has, to go away with.
    pub fn into_client(self) -> Client {
        self.client
    }
}
