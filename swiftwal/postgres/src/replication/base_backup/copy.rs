//! Tells apart what the copies of a base backup contain.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use bytes::{Buf, Bytes};

use super::{BackupEvent, BackupTablespace};
use crate::{printable, replication::error::ReplicationError};

/// The first version that sends everything in one copy.
const ONE_COPY: u32 = 150_000;

/// The end of a tar file: two empty blocks.
const TAR_END: [u8; 1024] = [0; 1024];

/// A part of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Archive { tablespace: Option<u32>, location: Option<PathBuf> },
    Data(Bytes),
    Manifest(Bytes),
    Progress(u64),
}

/// The copies of a base backup.
#[derive(Debug)]
pub(super) struct Copies {
    /// The archives to come, with a copy each; `None` if everything comes in one copy.
    separate: Option<Vec<BackupTablespace>>,
    expects_manifest: bool,
    begun: usize,
    archives: usize,
    expected_archives: usize,
    part: Part,
}

/// What a copy is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Outside,
    /// In a copy, before anything.
    Beginning,
    Archive,
    Manifest,
}

impl Copies {
    pub(super) fn new(version: u32, tablespaces: &[BackupTablespace], expects_manifest: bool) -> Self {
        Self {
            separate: (version < ONE_COPY).then(|| tablespaces.to_vec()),
            expects_manifest,
            begun: 0,
            archives: 0,
            expected_archives: tablespaces.len(),
            part: Part::Outside,
        }
    }

    /// A copy begins. Returns what is known by that.
    pub(super) fn begin(&mut self) -> Result<Option<BackupEvent>, ReplicationError> {
        if self.part != Part::Outside {
            return Err(damaged("a copy within another"));
        }
        let number = self.begun;
        self.begun += 1;
        let Some(separate) = &self.separate else {
            self.part = Part::Beginning;
            return if number == 0 { Ok(None) } else { Err(damaged("a second copy")) };
        };
        match separate.get(number) {
            Some(tablespace) => {
                self.part = Part::Archive;
                self.archives += 1;
                let BackupTablespace { oid, location, .. } = tablespace.clone();
                Ok(Some(BackupEvent::Archive { tablespace: oid, location }))
            }
            None if self.expects_manifest && number == separate.len() => {
                self.part = Part::Manifest;
                Ok(None)
            }
            None => Err(damaged("more archives than were announced")),
        }
    }

    /// Returns what a message contains; `None` if that is nothing.
    pub(super) fn data(&mut self, mut message: Bytes) -> Result<Option<Item>, ReplicationError> {
        if message.is_empty() {
            return Ok(None);
        }
        if self.separate.is_some() {
            return self.content(message).map(Some);
        }
        match message.get_u8() {
            b'd' if message.is_empty() => Ok(None),
            b'd' => self.content(message).map(Some),
            b'n' => self.archive(&message).map(Some),
            b'm' if message.is_empty() => {
                self.part = Part::Manifest;
                Ok(None)
            }
            b'p' if message.len() == 8 => Ok(Some(Item::Progress(message.get_u64()))),
            tag => Err(damaged(&format!("an unknown message {tag:#x}"))),
        }
    }

    fn content(&self, data: Bytes) -> Result<Item, ReplicationError> {
        match self.part {
            Part::Archive => Ok(Item::Data(data)),
            Part::Manifest => Ok(Item::Manifest(data)),
            Part::Outside | Part::Beginning => Err(damaged("data before an archive")),
        }
    }

    /// Reads the name of an archive and the directory of its tablespace, each with a zero byte at its end.
    fn archive(&mut self, message: &Bytes) -> Result<Item, ReplicationError> {
        let texts: Vec<_> = message.split(|byte| *byte == 0).collect();
        let [name, location, b""] = texts.as_slice() else { return Err(damaged("no name of an archive")) };
        let tablespace = tablespace(name)?;
        self.part = Part::Archive;
        self.archives += 1;
        let location = tablespace.map(|_| PathBuf::from(OsStr::from_bytes(location)));
        Ok(Item::Archive { tablespace, location })
    }

    /// A copy ends. Returns the end of its tar file, which servers before version 15 don't send.
    pub(super) fn end(&mut self) -> Result<Option<Bytes>, ReplicationError> {
        match std::mem::replace(&mut self.part, Part::Outside) {
            Part::Outside => Err(damaged("the end of a copy that hasn't begun")),
            Part::Archive if self.separate.is_some() => Ok(Some(Bytes::from_static(&TAR_END))),
            _ => Ok(None),
        }
    }

    /// Fails unless every announced archive has come.
    pub(super) fn check_complete(&self) -> Result<(), ReplicationError> {
        match self.part == Part::Outside && self.archives == self.expected_archives {
            true => Ok(()),
            false => Err(damaged(&format!("{} of {} archives", self.archives, self.expected_archives))),
        }
    }
}

/// Returns the tablespace's number in the name of an archive; `None` for the data directory.
fn tablespace(name: &[u8]) -> Result<Option<u32>, ReplicationError> {
    if name == b"base.tar" {
        return Ok(None);
    }
    let number = name.strip_suffix(b".tar").filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    number.map(Some).ok_or_else(|| damaged(&format!("an archive \"{}\"", printable(name))))
}

pub(super) fn path(bytes: &Bytes) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn damaged(what: &str) -> ReplicationError {
    ReplicationError::protocol(format!("the base backup has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: BackupTablespace = BackupTablespace { oid: None, location: None, bytes: None };

    fn tablespaces() -> Vec<BackupTablespace> {
        vec![BackupTablespace { oid: Some(16385), location: Some("/space".into()), bytes: None }, BASE]
    }

    fn archive(event: Option<BackupEvent>) -> Option<u32> {
        match event {
            Some(BackupEvent::Archive { tablespace, .. }) => tablespace,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_copy_has_archives_and_manifest_in_it() {
        let mut copies = Copies::new(150_000, &tablespaces(), true);
        assert_eq!(copies.begin().unwrap(), None);
        let mut item = |message: &'static [u8]| copies.data(Bytes::from_static(message)).unwrap();
        let location = Some("/space\u{e9}".into());
        assert_eq!(
            item("n16385.tar\0/space\u{e9}\0".as_bytes()),
            Some(Item::Archive { tablespace: Some(16385), location })
        );
        assert_eq!(item(b"dabc"), Some(Item::Data(Bytes::from_static(b"abc"))));
        assert_eq!((item(b"d"), item(b"")), (None, None));
        assert_eq!(item(b"p\0\0\0\0\0\0\x01\x02"), Some(Item::Progress(258)));
        assert_eq!(item(b"nbase.tar\0\0"), Some(Item::Archive { tablespace: None, location: None }));
        assert_eq!(item(b"dx"), Some(Item::Data(Bytes::from_static(b"x"))));
        assert_eq!(item(b"m"), None);
        assert_eq!(item(b"d{}"), Some(Item::Manifest(Bytes::from_static(b"{}"))));
        copies.end().unwrap();
        copies.check_complete().unwrap();
        assert!(copies.begin().is_err());
    }

    #[test]
    fn separate_copies_are_the_announced_archives_and_then_the_manifest() {
        let mut copies = Copies::new(140_000, &tablespaces(), true);
        assert_eq!(archive(copies.begin().unwrap()), Some(16385));
        assert_eq!(
            copies.data(Bytes::from_static(b"nbase")).unwrap(),
            Some(Item::Data(Bytes::from_static(b"nbase")))
        );
        assert_eq!(copies.data(Bytes::new()).unwrap(), None);
        assert!(copies.begin().is_err());
        assert_eq!(copies.end().unwrap().as_deref(), Some(&TAR_END[..]));
        assert!(copies.check_complete().is_err());
        assert_eq!(archive(copies.begin().unwrap()), None);
        assert_eq!(copies.end().unwrap().as_deref(), Some(&TAR_END[..]));
        assert_eq!(copies.begin().unwrap(), None);
        assert_eq!(
            copies.data(Bytes::from_static(b"{")).unwrap(),
            Some(Item::Manifest(Bytes::from_static(b"{")))
        );
        copies.end().unwrap();
        copies.check_complete().unwrap();
        assert!(copies.begin().is_err());
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        for message in [
            &b"dx"[..],
            b"n",
            b"nbase.tar",
            b"nbase.tar\0",
            b"n../x.tar\0\0",
            b"n1.tar.gz\0/\0",
            b"p\0",
            b"mx",
            b"?",
        ] {
            let mut copies = Copies::new(180_000, &tablespaces(), true);
            copies.begin().unwrap();
            assert!(copies.data(Bytes::from_static(message)).is_err(), "{message:?}");
        }
        let mut copies = Copies::new(140_000, &[BASE], false);
        assert!(copies.end().is_err());
        copies.begin().unwrap();
        copies.end().unwrap();
        assert!(copies.begin().unwrap_err().to_string().contains("more archives"));
    }
}
