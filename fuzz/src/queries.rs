//! What query strings say, and values of options.

use crate::{Cost, Target};
use progress::{Callback, ListQuery, RequestId, Statuses, request_id, value};

pub const IDS: Target = Target {
    name: "ids",
    dictionary: &["X-Progress-Id", "X-Progress-ID", "=", "&", ";", "?", "=a"],
    run: |query| {
        let id = request_id(query);
        assert_eq!(id.map(RequestId::bytes), naive_id(query), "{}", query.escape_ascii());
        for key in [b"callback".as_slice(), b"X-Progress-Id", b"a"] {
            let naive =
                values(query, key).into_iter().next().or_else(|| standard_values(query, key).into_iter().next());
            assert_eq!(value(query, key), naive, "{}", query.escape_ascii());
        }
    },
    cost: Cost::Some,
};

/// The same, told by what stands around it alone: that costs so little that there are many more inputs.
pub const ID_PLACES: Target = Target {
    name: "id-places",
    dictionary: IDS.dictionary,
    run: |query| {
        let keys: [&[u8]; 2] = [b"X-Progress-Id", b"X-Progress-ID"];
        let begins = |before: &[u8]| before.last().is_none_or(|byte| b"&;?=".contains(byte));
        let Some(id) = request_id(query).map(RequestId::bytes) else {
            // Where the two readings have the same separator, there is none that could have been taken.
            if query.iter().any(|byte| b";?".contains(byte)) {
                return;
            }
            for (at, window) in query.windows(keys[0].len() + 1).enumerate() {
                let is_key = window[0] == b'X' && keys.contains(&&window[..keys[0].len()]);
                if is_key && b"=&".contains(&window[keys[0].len()]) && begins(&query[..at]) {
                    let rest = &query[at + window.len()..];
                    let length = rest.iter().position(|byte| *byte == b'&').unwrap_or(rest.len());
                    assert!(length == 0 || length > 1024, "{}", query.escape_ascii());
                }
            }
            return;
        };
        let at = id.as_ptr() as usize - query.as_ptr() as usize;
        let (before, after) = (&query[..at], &query[at + id.len()..]);
        let before = before.split_last().filter(|(last, _)| b"=&;".contains(last)).map(|(_, before)| before);
        let before = before.and_then(|before| keys.into_iter().find_map(|key| before.strip_suffix(key)));
        assert!(before.is_some_and(begins), "{}", query.escape_ascii());
        assert!(after.first().is_none_or(|byte| b"&;?".contains(byte)), "{}", query.escape_ascii());
        assert!((1..=1024).contains(&id.len()), "{}", query.escape_ascii());
        let first = query.iter().find(|byte| b"&;".contains(byte));
        let is_whole = first.is_none_or(|first| !id.contains(first)) || !id.iter().any(|byte| b"&?".contains(byte));
        assert!(is_whole, "{}", query.escape_ascii());
    },
    cost: Cost::Little,
};

pub const CALLBACKS: Target = Target {
    name: "callbacks",
    dictionary: &["X-Progress-Callback", "callback", "=", "&", ".", "_", "$", "a"],
    run: |query| {
        for (callback, more) in [(&Callback::PROGRESS, ""), (&Callback::SCRIPT, "$"), (&Callback::WHERE_ASKED, "$")] {
            if let Some(name) = callback.name(query, callback.key) {
                let is_fine =
                    |byte: &u8| byte.is_ascii_alphanumeric() || b"._".contains(byte) || more.as_bytes().contains(byte);
                assert!(name.len() <= 128 && name.iter().all(is_fine), "{}", name.escape_ascii());
            }
        }
    },
    cost: Cost::Little,
};

pub const LISTS: Target = Target {
    name: "list-queries",
    dictionary: &[
        "state", "limit", "sort", "data", "list", "=", "&", "running", "done", "error", "rate", "elapsed", "size",
        "ended", "10",
    ],
    run: |query| {
        let texts = [ListQuery::new(query).err(), ListQuery::is_asked_for(query).err()]
            .map(|error| error.map(|error| error.to_string()));
        for text in texts.into_iter().flatten() {
            // It is answered as it is.
            assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text:?}");
        }
    },
    cost: Cost::Little,
};

pub const STATUSES: Target = Target {
    name: "statuses",
    dictionary: &["2xx", "200", "5xx", "0"],
    run: |text| {
        if let Ok(statuses) = Statuses::none().with_named(text) {
            let named = std::str::from_utf8(text).expect("what is a status is text");
            let are_equal = (0..1_000).all(|status| statuses.has(status) == names(named, status));
            assert!(are_equal, "{named}");
        }
    },
    cost: Cost::Little,
};

/// Whether a name of a status, or of a class of them, is one of this status.
pub fn names(named: &str, status: i32) -> bool {
    match named.strip_suffix("xx") {
        Some(class) => (status / 100).to_string() == class,
        None => status.to_string() == named,
    }
}

/// What the reference says of an id in a query string, as directly as it can be written.
pub fn naive_id(query: &[u8]) -> Option<&[u8]> {
    let usable = |value: &&[u8]| (1..=RequestId::LONGEST).contains(&value.len());
    [values, standard_values].into_iter().find_map(|values| {
        let of = |key: &[u8]| values(query, key).into_iter().find(usable);
        of(b"X-Progress-Id").or_else(|| of(b"X-Progress-ID"))
    })
}

/// All values that lighttpd2 has for a key: the first of `&` and `;` separates, a key ends at a separator or `=`, and what follows is its
/// value.
fn values<'q>(query: &'q [u8], key: &[u8]) -> Vec<&'q [u8]> {
    let mut values = Vec::new();
    let (mut start, mut separator) = (0, None);
    for (at, byte) in query.iter().enumerate() {
        let separates = separator.map_or(b"&;".contains(byte), |one| one == *byte);
        if separates {
            separator = Some(*byte);
        }
        if separates || *byte == b'=' {
            if &query[start..at] == key {
                let rest = &query[at + 1..];
                let ends = |other: &u8| separator.map_or(b"&;".contains(other), |one| one == *other);
                values.push(&rest[..rest.iter().position(ends).unwrap_or(rest.len())]);
            }
            start = at + 1;
        }
    }
    values
}

/// The same as the URL standard has it, where a second `?` separates too.
fn standard_values<'q>(query: &'q [u8], key: &[u8]) -> Vec<&'q [u8]> {
    let pairs = query.split(|byte| b"&?".contains(byte));
    let pairs = pairs.filter_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        Some((&pair[..end], &pair[end + 1..]))
    });
    pairs.filter(|(other, _)| *other == key).map(|(_, value)| value).collect()
}
