//! Random chains of one file, compared with a simple model of `pg_combinebackup`.

use std::{fs, sync::Arc};

use proptest::{collection::vec, prelude::*};
use swiftwal_postgres::incremental_file::{BLOCK_BYTES, IncrementalHeader};

use super::{BlockWriter, ChangedFiles, CompleteFile, OlderFile};
use crate::repository::manifest::Algorithm;

const BLOCKS: u32 = 12;
const NAME: &[u8] = b"base/1/7";
const INCREMENTAL_NAME: &[u8] = b"base/1/INCREMENTAL.7";

/// A file as one backup has it. Each block is filled with one byte.
#[derive(Clone, Debug)]
enum Stored {
    Complete { blocks: Vec<u8>, more_bytes: usize },
    Incremental { truncation: u32, blocks: Vec<(u32, u8)> },
}

impl Stored {
    fn to_bytes(&self) -> Vec<u8> {
        let block = |fill: u8| vec![fill; BLOCK_BYTES as usize];
        match self {
            Self::Complete { blocks, more_bytes } => {
                [blocks.iter().flat_map(|fill| block(*fill)).collect(), vec![255; *more_bytes]].concat()
            }
            Self::Incremental { truncation, blocks } => {
                let numbers = blocks.iter().map(|(number, _)| *number).collect();
                let header = IncrementalHeader::new(*truncation, numbers).unwrap().to_bytes();
                [header, blocks.iter().flat_map(|(_, fill)| block(*fill)).collect()].concat()
            }
        }
    }

    fn block(&self, number: u32) -> Option<u8> {
        match self {
            Self::Complete { blocks, .. } => blocks.get(number as usize).copied(),
            Self::Incremental { blocks, .. } => {
                blocks.iter().find(|(found, _)| *found == number).map(|(_, fill)| *fill)
            }
        }
    }
}

/// The blocks of the file that PostgreSQL makes of these backups, the newest first.
fn model(chain: &[Stored]) -> Vec<u8> {
    let Stored::Incremental { truncation, blocks } = &chain[0] else {
        unreachable!("the newest is incremental")
    };
    let length = blocks.iter().map(|(number, _)| number + 1).max().unwrap_or_default().max(*truncation);
    let sources = |number| if number < *truncation { chain } else { &chain[..1] };
    let block = |number| sources(number).iter().find_map(|stored| stored.block(number)).unwrap_or_default();
    (0..length).map(block).collect()
}

/// Writes the files of a chain in pieces of these lengths, one after the other. Returns the result.
fn combined(chain: &[Stored], pieces: &[usize]) -> (Vec<u8>, CompleteFile) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("7");
    let open =
        || fs::File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    let files = Arc::new(ChangedFiles::default());
    let mut lengths = pieces.iter().cycle();
    for (number, stored) in chain.iter().enumerate() {
        let content = stored.to_bytes();
        let bytes = content.len() as u64;
        let complete = (None, NAME.to_vec());
        let mut writer = if number == 0 {
            BlockWriter::newest(open(), complete, Arc::clone(&files), bytes)
        } else {
            let is_incremental = matches!(stored, Stored::Incremental { .. });
            let name = if is_incremental { INCREMENTAL_NAME } else { NAME };
            let taken = files.take(number as u32, None, name);
            let OlderFile::Wanted { name, file, is_incremental } = taken else {
                panic!("it isn't wanted: {taken:?}")
            };
            BlockWriter::older(open(), (name, file), Arc::clone(&files), bytes, is_incremental)
        };
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            writer.write(piece).unwrap();
            rest = more;
        }
        writer.end(Some((Algorithm::Crc32c, content))).unwrap();
        assert_eq!(files.missing_in(number as u32), None);
    }
    assert_eq!(files.incomplete(), None);
    let complete = files.take_complete().remove(&(None, NAME.to_vec())).unwrap();
    (fs::read(path).unwrap(), complete)
}

fn incremental() -> impl Strategy<Value = Stored> {
    let blocks = vec(prop::option::weighted(0.3, 1..255u8), BLOCKS as usize);
    (0..=BLOCKS, blocks).prop_map(|(truncation, blocks)| {
        let blocks = (0..).zip(blocks).filter_map(|(number, fill)| Some((number, fill?))).collect();
        Stored::Incremental { truncation, blocks }
    })
}

fn complete() -> impl Strategy<Value = Stored> {
    let blocks = vec(1..255u8, 0..=BLOCKS as usize);
    (blocks, prop_oneof![3 => Just(0), 1 => 1..8192usize])
        .prop_map(|(blocks, more_bytes)| Stored::Complete { blocks, more_bytes })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_result_is_what_postgresql_makes(
        newer in vec(incremental(), 1..5),
        full in complete(),
        pieces in vec(1000..40_000usize, 1..5),
    ) {
        let chain = [newer, vec![full.clone()]].concat();
        let (content, file) = combined(&chain, &pieces);
        prop_assert_eq!(file.bytes, content.len() as u64);
        let fills: Vec<_> = content.chunks(BLOCK_BYTES as usize).map(|block| block[0]).collect();
        prop_assert!(content.chunks(BLOCK_BYTES as usize).all(|block| block.iter().all(|byte| *byte == block[0])));
        prop_assert_eq!(fills, model(&chain));
        // The checksum of the full backup's file is taken only for equal content.
        prop_assert!(file.checksum.is_none_or(|(_, checksummed)| checksummed == content));
    }
}

#[test]
fn a_file_of_which_nothing_has_changed_keeps_its_checksum() {
    let unchanged = Stored::Incremental { truncation: 3, blocks: vec![] };
    let full = Stored::Complete { blocks: vec![1, 2, 3], more_bytes: 0 };
    let (_, file) = combined(&[unchanged.clone(), unchanged, full], &[9000]);
    assert!(file.checksum.is_some());
}

#[test]
fn a_file_that_is_complete_missing_or_double_is_recognised() {
    let files = ChangedFiles::default();
    let header = IncrementalHeader::new(1, vec![]).unwrap();
    files.add((None, NAME.to_vec()), super::ChangedFile::new(&header));
    assert!(matches!(files.take(1, None, b"base/1/8"), OlderFile::Unwanted));
    assert!(matches!(files.take(1, Some(5), NAME), OlderFile::Unwanted), "it isn't in a tablespace");
    assert_eq!(files.missing_in(1), Some((None, NAME.to_vec())));
    let OlderFile::Wanted { name, file, is_incremental: true } = files.take(1, None, INCREMENTAL_NAME) else {
        panic!("it is wanted")
    };
    assert!(matches!(files.take(1, None, NAME), OlderFile::Twice));
    files.put_back(&name, file);
    assert!(matches!(files.take(1, None, NAME), OlderFile::Twice));
    assert_eq!(files.missing_in(1), None);
    assert_eq!(files.incomplete(), Some(name.clone()));
    files.complete(&name, CompleteFile { bytes: 8192, checksum: None });
    assert!(matches!(files.take(2, None, NAME), OlderFile::Unwanted));
    assert_eq!((files.missing_in(2), files.incomplete()), (None, None));
}
