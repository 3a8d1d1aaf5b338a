//! What operators are told of a running request, besides how far it is.

use super::RequestId;

/// Who asks for what. Nearly all of it is the client's choice; what is kept of it is limited by [`Details`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The request's id.
    pub id: &'a [u8],
    /// Its method.
    pub method: &'a [u8],
    /// The host that it asks.
    pub host: &'a [u8],
    /// The path that it asks for.
    pub path: &'a [u8],
    /// The client's address.
    pub client: &'a [u8],
}

/// Kept [`Parts`].
#[derive(Debug, PartialEq, Eq)]
pub struct Details {
    /// One after the other.
    text: Box<[u8]>,
    lengths: [u16; 5],
}

impl Details {
    /// How much is kept of an id, and of each other part, in bytes.
    const LONGEST_ID: usize = RequestId::LONGEST;
    const LONGEST: usize = 256;

    /// Keeps these.
    pub fn new(parts: Parts<'_>) -> Self {
        let cut = |part: &'_ [u8], most: usize| part.len().min(most);
        let Parts { id, method, host, path, client } = parts;
        let parts = [
            &id[..cut(id, Self::LONGEST_ID)],
            &method[..cut(method, Self::LONGEST)],
            &host[..cut(host, Self::LONGEST)],
            &path[..cut(path, Self::LONGEST)],
            &client[..cut(client, Self::LONGEST)],
        ];
        Self { text: parts.concat().into(), lengths: parts.map(|part| part.len() as u16) }
    }

    /// What is kept.
    pub fn parts(&self) -> Parts<'_> {
        let mut rest = &*self.text;
        let [id, method, host, path, client] = self.lengths.map(|length| {
            let (part, others) = rest.split_at(length.into());
            rest = others;
            part
        });
        Parts { id, method, host, path, client }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_is_given() {
        let long = [b'x'; 2_000];
        let parts = Parts { id: &long[..1_024], method: b"POST", host: b"", path: &long[..256], client: b"::1" };
        assert_eq!(Details::new(parts).parts(), parts);
        assert_eq!(Details::new(Parts { path: &long, ..parts }).parts(), parts);
    }
}
