//! The names and modes of the members in an index as JSON, and a parser of the members in a line, which may be crafted.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

use super::{IndexedMember, MOST_FRAME_BYTES};

/// The largest number of members that end in a frame: each has a header of 512 bytes, and the first one's may be in the
/// frame before.
const MOST_MEMBERS: usize = (MOST_FRAME_BYTES / 512) as usize + 1;

/// A file's name or a link's target in JSON: text or, if it isn't UTF-8, an object with its bytes in hexadecimal
/// digits, named as in PostgreSQL's backup manifest: `{"Encoded-Path": "636166e9"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberName(pub(crate) Vec<u8>);

impl Serialize for MemberName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Encoded {
            #[serde(rename = "Encoded-Path")]
            path: String,
        }
        match std::str::from_utf8(&self.0) {
            Ok(name) => serializer.serialize_str(name),
            Err(_) => {
                let path = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                Encoded { path }.serialize(serializer)
            }
        }
    }
}

/// A mode, written in octal digits: `"0600"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0 & 0o7777))
    }
}

/// Returns the members in a line of the index; none for a line that isn't that of a frame.
pub(crate) fn members_of(line: &[u8]) -> serde_json::Result<Vec<IndexedMember>> {
    #[derive(Deserialize)]
    struct MembersLine {
        #[serde(default)]
        members: Members,
    }
    Ok(serde_json::from_slice::<MembersLine>(line)?.members.0)
}

/// As many members as a frame can have.
#[derive(Default)]
struct Members(Vec<IndexedMember>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("members")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = sequence.next_element()? {
                    if members.len() == MOST_MEMBERS {
                        return Err(Error::custom("a frame has too many members"));
                    }
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

impl<'de> Deserialize<'de> for MemberName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Encoded {
                #[serde(rename = "Encoded-Path")]
                path: String,
            },
        }
        match Written::deserialize(deserializer)? {
            Written::Text(name) => Ok(Self(name.into_bytes())),
            Written::Encoded { path } => {
                Self::from_hex(&path).ok_or_else(|| Error::custom("a name isn't hexadecimal"))
            }
        }
    }
}

impl MemberName {
    /// Returns the bytes that these hexadecimal digits stand for.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        hex.as_bytes().chunks(2).map(byte).collect::<Option<_>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let octal = String::deserialize(deserializer)?;
        u32::from_str_radix(&octal, 8).map(Self).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::tar_stream::{Member, MemberKind};

    use super::{
        super::{Frame, Line},
        *,
    };

    #[test]
    fn members_are_read_as_they_were_written() {
        let member = |name: &[u8], kind| {
            let (name, mode, modified, bytes, offset) = (name.to_owned(), 0o640, 0, 3, 512);
            let member = Member { name, kind, mode, modified, bytes, offset };
            IndexedMember::new(member, blake3::Hasher::new().update(b"abc"))
        };
        let members = vec![
            member("Übernahme".as_bytes(), MemberKind::File),
            member(b"caf\xe9\n", MemberKind::Directory),
            member(b"pg_tblspc/1", MemberKind::Link { target: b"/\xff".to_vec() }),
        ];
        let frame = Frame { offset: 0, stored_bytes: 10, tar_bytes: 2048 };
        let line = Line::Frame { frame, members: members.clone() }.to_bytes().unwrap();
        assert_eq!(members_of(&line).unwrap(), members);
        assert_eq!(members_of(b"{\"object\":\"a.tar\"}\n").unwrap(), []);
    }

    #[test]
    fn names_that_cannot_be_and_more_members_than_a_frame_has_room_for_are_refused() {
        for name in ["{\"Encoded-Path\":\"6\"}", "{\"Encoded-Path\":\"6\u{e9}\"}", "7", "null"] {
            let line =
                format!("{{\"members\":[{{\"name\":{name},\"mode\":\"0700\",\"kind\":\"directory\"}}]}}");
            assert!(members_of(line.as_bytes()).is_err(), "{name}");
        }
        let member = "{\"name\":\"\",\"mode\":\"0\",\"kind\":\"directory\"}";
        let line = |count| format!("{{\"members\":[{}]}}", vec![member; count].join(","));
        assert_eq!(members_of(line(MOST_MEMBERS).as_bytes()).unwrap().len(), MOST_MEMBERS);
        let error = members_of(line(MOST_MEMBERS + 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("too many members"), "{error}");
    }
}
