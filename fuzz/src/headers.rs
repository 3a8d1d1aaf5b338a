//! What headers say, and what the configuration says of them.

use crate::queries::naive_id;
use crate::{Cost, Input, Target};
use progress::{MetricsText, Origins, RequestId, are_header_names, id_of};
use std::net::Ipv6Addr;

pub const ORIGINS: Target = Target {
    name: "origins",
    dictionary: &["http", "https", "://", "a.example", "localhost", "[::1]", ":443", ":80", ":8080", "*", "null", "/"],
    run: |input| {
        let mut input = Input::new(input);
        let count = input.byte() % 4;
        let list: Vec<_> = (0..count).map(|_| input.piece().to_vec()).collect();
        let origin = input.rest();
        let Ok(origins) = Origins::new(list.clone()) else {
            assert!(list.iter().any(|one| !is_sent(one)), "{list:?}");
            return;
        };
        if list == [b"*"] {
            return assert_eq!(origins.allowed(origin), Some(&b"*"[..]));
        }
        assert!(list.iter().all(|one| is_sent(one)), "{list:?}");
        let is_among = |origin: &[u8]| list.iter().any(|one| one.eq_ignore_ascii_case(origin));
        let check = |origin: &[u8]| {
            let allowed = origins.allowed(origin);
            assert_eq!(allowed, is_among(origin).then_some(origin), "{list:?}");
            // It is sent back as it is.
            assert!(allowed.unwrap_or_default().iter().all(u8::is_ascii_graphic), "{}", origin.escape_ascii());
        };
        check(origin);
        for one in &list {
            check(one);
            check(&one.to_ascii_uppercase());
            check(&[one, origin].concat());
            check(&[origin, one].concat());
            check(&one[1..]);
        }
    },
    cost: Cost::Little,
};

pub const HEADER_NAMES: Target = Target {
    name: "header-names",
    dictionary: &["x-progress-id", ", ", "\r\n", ":", "\0", "'", "."],
    run: |names| {
        // Names are sent back as they are: the delimiters of the standard are in none.
        let is_part = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
        let are_names = names.split(|byte| b", ".contains(byte)).all(|name| name.iter().all(is_part));
        assert_eq!(are_header_names(names), are_names, "{}", names.escape_ascii());
    },
    cost: Cost::Little,
};

pub const ACCEPTS: Target = Target {
    name: "accepts",
    dictionary: &["application/openmetrics-text", "text/plain", "*/*", ";q=0", ";q=0.5", ";version=1.0.0", ","],
    run: |input| {
        let mut input = Input::new(input);
        let mut made = Vec::new();
        let mut is_accepted = false;
        for _ in 0..input.byte() % 4 {
            let (which, weight) = (input.byte(), input.byte());
            let types = ["application/openmetrics-text", "APPLICATION/OpenMetrics-Text", "text/plain", "*/*"];
            let others = ["application/openmetrics-texts", "x-application/openmetrics-text"];
            let media_type = types.into_iter().chain(others).cycle().nth(which.into()).unwrap_or("");
            let weights = ["", ";q=0", "; Q=0.000", ";q=0.001", ";version=1.0.0;q=0.3", " ; version=1.0.0; q=0."];
            let weight = usize::from(weight) % weights.len();
            is_accepted |= media_type.eq_ignore_ascii_case(types[0]) && ![1, 2, 5].contains(&weight);
            made.push(format!("{media_type}{}", weights[weight]));
        }
        let made = made.join([",", ", ", " , "][usize::from(input.byte() % 3)]);
        assert_eq!(is_open(made.as_bytes()), is_accepted, "{made}");
        let other = input.rest();
        let is_named = other.to_ascii_lowercase().windows(28).any(|one| one == b"application/openmetrics-text");
        assert!(is_named || !is_open(other), "{}", other.escape_ascii());
        // Others beside it change nothing.
        let both = [made.as_bytes(), b",", other].concat();
        assert_eq!(is_open(&both), is_accepted || is_open(other), "{}", both.escape_ascii());
    },
    cost: Cost::Little,
};

pub const ID_HEADERS: Target = Target {
    name: "id-headers",
    dictionary: &["X-Progress-Id=", "X-Progress-ID=", "&", "a", "\n"],
    run: |input| {
        // No header has a line end.
        let end = input.iter().position(|byte| *byte == b'\n');
        let (query, header) = (&input[..end.unwrap_or(input.len())], end.map(|end| &input[end + 1..]));
        let usable = header.filter(|header| !header.is_empty() && header.len() <= 1024);
        let found = id_of(query, || header).map(RequestId::bytes);
        assert_eq!(found, naive_id(query).or(usable), "{}", input.escape_ascii());
    },
    cost: Cost::Some,
};

fn is_open(accept: &[u8]) -> bool {
    MetricsText::accepted(Some(accept)) == MetricsText::OpenMetrics
}

/// Whether a browser could send that, as directly as it can be written.
fn is_sent(origin: &[u8]) -> bool {
    let Ok(origin) = std::str::from_utf8(origin).map(str::to_ascii_lowercase) else { return false };
    let Some((scheme, place)) = origin.split_once("://") else { return false };
    let has_only =
        |text: &str, others: &str| text.chars().all(|one| one.is_ascii_alphanumeric() || others.contains(one));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && has_only(host, "-._"),
    };
    let is_port = port.is_none_or(|port| {
        let is_written_so = port == "0" || !port.starts_with('0') && (1..=5).contains(&port.len());
        is_written_so
            && port.bytes().all(|digit| digit.is_ascii_digit())
            && port.parse().is_ok_and(|port: u32| port < 65_536)
    });
    scheme.chars().next().is_some_and(|first| first.is_ascii_alphabetic())
        && has_only(scheme, "+-.")
        && is_host
        && is_port
        && ![("http", Some("80")), ("https", Some("443"))].contains(&(scheme, port))
}
