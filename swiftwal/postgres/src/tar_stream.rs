//! Parses a tar as a stream, as PostgreSQL sends it: plain ustar members.

use tar::EntryType;
use thiserror::Error;

use crate::printable;

const BLOCK: usize = 512;
/// The largest size that a file can have.
const MOST_BYTES: u64 = i64::MAX as u64;

/// Receives the members of a tar, in order.
pub trait TarVisitor {
    /// The visitor's error.
    type Error: From<TarError>;

    /// A member begins. Its content follows through [`data`](Self::data).
    fn member(&mut self, member: Member) -> Result<(), Self::Error>;

    /// The next bytes of the current member.
    fn data(&mut self, data: &[u8]) -> Result<(), Self::Error>;

    /// The current member is complete.
    fn end(&mut self) -> Result<(), Self::Error>;
}

/// A member's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as bytes, relative and without a slash at the end.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: MemberKind,
    /// Its permissions.
    pub mode: u32,
    /// Its modification time by the server's clock, in seconds since 1970.
    pub modified: u64,
    /// The size of its content.
    pub bytes: u64,
    /// The offset of its content in the tar.
    pub offset: u64,
}

/// The type of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// Its target as bytes.
        target: Vec<u8>,
    },
}

/// A tar that PostgreSQL can't have written.
#[derive(Debug, Error)]
pub enum TarError {
    /// A header that PostgreSQL doesn't write.
    #[error("the tar has a damaged header at byte {offset}: {reason}")]
    Header {
        /// Its offset in the tar.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The end marker is missing.
    #[error("the tar ends in the middle, after {bytes} bytes")]
    Cut {
        /// The length of the tar.
        bytes: u64,
    },
}

/// Parses a tar piece by piece, and passes its members to a visitor.
#[derive(Debug, Default)]
pub struct TarStream {
    /// What the names of the members are prefixed with.
    prefix: Vec<u8>,
    header: Vec<u8>,
    position: u64,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    Content {
        left: u64,
        padding: u64,
    },
    Padding {
        left: u64,
    },
    /// After the end marker: padding to the tar's record size.
    Ended,
}

impl TarStream {
    /// Creates a stream whose members' names get this prefix.
    pub fn with_prefix(prefix: Vec<u8>) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// Passes the next piece to `visitor`. After an error the stream can't be used any more.
    pub fn push<V: TarVisitor>(&mut self, mut piece: &[u8], visitor: &mut V) -> Result<(), V::Error> {
        while !piece.is_empty() {
            let taken = match self.state {
                State::Header => self.take_header(piece, visitor)?,
                State::Content { left, padding } => {
                    let taken = at_most(piece, left);
                    visitor.data(&piece[..taken])?;
                    self.content_taken(left - taken as u64, padding, visitor)?;
                    taken
                }
                State::Padding { left } => {
                    let taken = at_most(piece, left);
                    self.pad(left - taken as u64);
                    taken
                }
                State::Ended => piece.len(),
            };
            self.position += taken as u64;
            piece = &piece[taken..];
        }
        Ok(())
    }

    /// Ends the tar.
    ///
    /// # Errors
    ///
    /// [`TarError::Cut`] if the end marker is missing.
    pub fn finish(self) -> Result<(), TarError> {
        match self.state {
            State::Ended => Ok(()),
            _ => Err(TarError::Cut { bytes: self.position }),
        }
    }

    fn take_header<V: TarVisitor>(&mut self, piece: &[u8], visitor: &mut V) -> Result<usize, V::Error> {
        let taken = piece.len().min(BLOCK - self.header.len());
        self.header.extend_from_slice(&piece[..taken]);
        if self.header.len() < BLOCK {
            return Ok(taken);
        }
        if self.header.iter().all(|byte| *byte == 0) {
            self.state = State::Ended;
            return Ok(taken);
        }
        let offset = self.position + taken as u64;
        let mut member = parse(&self.header, offset)
            .map_err(|reason| TarError::Header { offset: offset - BLOCK as u64, reason })?;
        self.header.clear();
        member.name.splice(0..0, self.prefix.iter().copied());
        let bytes = member.bytes;
        visitor.member(member)?;
        self.content_taken(bytes, bytes.next_multiple_of(BLOCK as u64) - bytes, visitor)?;
        Ok(taken)
    }

    fn content_taken<V: TarVisitor>(
        &mut self,
        left: u64,
        padding: u64,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        if left > 0 {
            self.state = State::Content { left, padding };
            return Ok(());
        }
        self.pad(padding);
        visitor.end()
    }

    fn pad(&mut self, left: u64) {
        self.state = if left == 0 { State::Header } else { State::Padding { left } };
    }
}

fn at_most(piece: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()))
}

fn parse(block: &[u8], offset: u64) -> Result<Member, String> {
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let text = |error: std::io::Error| error.to_string();
    let sum = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    if header.cksum().map_err(text)? != sum {
        return Err("its checksum is wrong".to_owned());
    }
    // PostgreSQL sends `./pg_wal/archive_status`, and other names without the dot.
    let path = header.path_bytes();
    let name = path.strip_prefix(b"./").unwrap_or(&path);
    let slashes = name.iter().rev().take_while(|byte| **byte == b'/').count();
    let name = name[..name.len() - slashes].to_owned();
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous => MemberKind::File,
        EntryType::Directory => MemberKind::Directory,
        EntryType::Symlink => {
            MemberKind::Link { target: header.link_name_bytes().unwrap_or_default().into_owned() }
        }
        other => {
            let name = printable(&name);
            return Err(format!("'{name}' is of type {other:?}, which PostgreSQL never sends"));
        }
    };
    let bytes = if kind == MemberKind::File { header.entry_size().map_err(text)? } else { 0 };
    if bytes > MOST_BYTES {
        return Err(format!("'{}' has {bytes} bytes, more than any file", printable(&name)));
    }
    let (mode, modified) = (header.mode().map_err(text)?, header.mtime().unwrap_or_default());
    Ok(Member { name, kind, mode, modified, bytes, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(Vec<u8>, Vec<u8>)>);

    impl TarVisitor for Seen {
        type Error = TarError;

        fn member(&mut self, member: Member) -> Result<(), TarError> {
            self.0.push((member.name, Vec::new()));
            Ok(())
        }

        fn data(&mut self, data: &[u8]) -> Result<(), TarError> {
            self.0.last_mut().unwrap().1.extend_from_slice(data);
            Ok(())
        }

        fn end(&mut self) -> Result<(), TarError> {
            self.0.last_mut().unwrap().1.push(b'$');
            Ok(())
        }
    }

    fn header(name: &str, bytes: u64, kind: EntryType) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_entry_type(kind);
        header.set_cksum();
        header
    }

    fn example() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut dotted = header("base/", 0, EntryType::Directory);
        dotted.as_old_mut().name[..7].copy_from_slice(b"./base/");
        dotted.set_cksum();
        builder.append(&dotted, &[][..]).unwrap();
        builder.append(&header("empty", 0, EntryType::Regular), &[][..]).unwrap();
        builder.append(&header("base/1", 513, EntryType::Regular), &[7; 513][..]).unwrap();
        builder.append(&header("last", 512, EntryType::Regular), &[8; 512][..]).unwrap();
        builder.into_inner().unwrap()
    }

    /// The name of a member, and the content that was passed on.
    type MemberSeen = (Vec<u8>, Vec<u8>);

    fn read(tar: &[u8], piece: usize) -> Result<Vec<MemberSeen>, TarError> {
        let mut seen = Seen::default();
        let mut stream = TarStream::default();
        for piece in tar.chunks(piece) {
            stream.push(piece, &mut seen)?;
        }
        stream.finish()?;
        Ok(seen.0)
    }

    #[test]
    fn pieces_of_any_size_show_the_same_members() {
        let whole = read(&example(), usize::MAX).unwrap();
        assert_eq!(
            whole.iter().map(|member| member.0.as_slice()).collect::<Vec<_>>(),
            [&b"base"[..], b"empty", b"base/1", b"last"]
        );
        assert_eq!(whole[2].1.len(), 514);
        for piece in [1, 7, 511, 512, 513, 1000] {
            assert_eq!(read(&example(), piece).unwrap(), whole);
        }
    }

    #[test]
    fn a_tar_cut_anywhere_before_its_end_marker_is_an_error() {
        let tar = example();
        let end = tar.len() - 2 * BLOCK;
        for cut in (0..=end).step_by(97) {
            assert!(matches!(read(&tar[..cut], 512), Err(TarError::Cut { .. })), "cut at {cut}");
        }
    }

    #[test]
    fn names_and_targets_are_whatever_bytes_a_file_name_can_have() {
        let mut file = header("x", 0, EntryType::Regular);
        file.as_old_mut().name[..5].copy_from_slice(b"caf\xe9\n");
        let mut link = header("pg_tblspc/1", 0, EntryType::Symlink);
        link.as_old_mut().linkname[..2].copy_from_slice(b"/\xff");
        for mut header in [file, link] {
            header.set_cksum();
            let member = parse(header.as_bytes(), 512).unwrap();
            match member.kind {
                MemberKind::Link { target } => assert_eq!(target, b"/\xff"),
                _ => assert_eq!(member.name, b"caf\xe9\n"),
            }
        }
    }

    #[test]
    fn a_damaged_header_is_an_error() {
        let mut tar = example();
        tar[3] ^= 1;
        assert!(matches!(read(&tar, 512), Err(TarError::Header { offset: 0, .. })));
    }

    #[test]
    fn kinds_that_postgresql_never_sends_are_an_error_and_not_skipped() {
        let mut tar = header("dev", 0, EntryType::Char).as_bytes().to_vec();
        tar.extend([0; 2 * BLOCK]);
        assert!(matches!(read(&tar, 512), Err(TarError::Header { .. })));
    }
}
