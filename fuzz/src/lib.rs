//! What clients, configurations, engines and other processes can write, given to what reads it.
//!
//! A [`Target`] takes any bytes and panics where something is not as it should be. The tests of this crate give each of them what is
//! stored in `corpus/`, and some thousand inputs that are made of that and of its dictionary; `scripts/fuzz` lets libFuzzer choose
//! inputs by what they reach, and stores those that reach something new.

mod events;
mod files;
mod formats;
mod headers;
mod metrics;
mod queries;
mod templates;

/// What is given inputs.
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Words that mean something to it.
    pub dictionary: &'static [&'static str],
    /// Takes an input.
    pub run: fn(&[u8]),
    /// How long an input takes.
    pub cost: Cost,
}

/// How long an input takes: the longer, the fewer of them are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// About a microsecond.
    Little,
    /// Tens of microseconds: it is compared with what takes longer, or read by other parsers.
    Some,
    /// About a millisecond: files are written, or much text.
    Much,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    queries::IDS,
    queries::ID_PLACES,
    queries::CALLBACKS,
    queries::LISTS,
    queries::STATUSES,
    templates::TEMPLATES,
    templates::MARKUP,
    formats::FORMATS,
    formats::LISTS,
    events::EVENTS,
    metrics::METRICS,
    headers::ORIGINS,
    headers::HEADER_NAMES,
    headers::ACCEPTS,
    headers::ID_HEADERS,
    files::STORE,
    Target {
        name: "redis",
        dictionary: &["+OK\r\n", "$-1\r\n", ":1\r\n", "-ERR ", "*1\r\n", "$", "\r\n"],
        run: elsewhere::inputs::redis,
        cost: Cost::Little,
    },
    Target {
        name: "memcached",
        dictionary: &["HD c1\r\n", "EN\r\n", "VA ", " c", "NF", "EX", "MN", "\r\n", "SERVER_ERROR "],
        run: elsewhere::inputs::memcached,
        cost: Cost::Little,
    },
    Target {
        name: "records",
        dictionary: &["1", "0123456789abcdef"],
        run: elsewhere::inputs::record,
        cost: Cost::Some,
    },
    Target {
        name: "addresses",
        dictionary: &[
            "redis://",
            "unix:/",
            "memcached://",
            "memcached:/",
            "127.0.0.1",
            "[::1]",
            ":6379",
            "?db=",
            "?auth=",
            "&",
            "/1",
        ],
        run: elsewhere::inputs::address,
        cost: Cost::Little,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Takes numbers and pieces off the front of an input; zeros and nothing, where it is too short.
pub(crate) struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    pub fn new(bytes: &'i [u8]) -> Self {
        Self(bytes)
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let bytes = self.bytes(8);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }

    /// As many as the next byte says.
    pub fn piece(&mut self) -> &'i [u8] {
        let length = self.byte();
        self.bytes(length.into())
    }

    pub fn rest(self) -> &'i [u8] {
        self.0
    }

    fn bytes(&mut self, count: usize) -> &'i [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
