//! Tests with a stand-in for a data directory.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use super::*;
use crate::{CHUNK_BYTES, Lsn, local_source::walk::Tree};

const PAGE: usize = 8192;

fn tree(directory: &Path) -> Tree {
    Tree::whole(directory, Vec::new())
}

fn checks() -> PageChecks {
    PageChecks { start: Lsn(u64::MAX), page_bytes: PAGE, segment_blocks: 131_072 }
}

async fn chunks(mut copy: Copy) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let Some(chunk) = copy.next().await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

/// Returns a pool whose buffers have been used before.
fn used_pool() -> ChunkPool {
    let pool = ChunkPool::default();
    let mut buffers: Vec<_> = (0..16).map(|_| pool.take()).collect();
    buffers.iter_mut().for_each(|buffer| buffer.content.fill(7));
    pool
}

fn copy_of(directory: &Path) -> Copy {
    let tree = tree(directory);
    Copy::start(0, Some(checks()), used_pool(), move |planner| {
        planner.tree(&tree)?;
        planner.end()
    })
}

/// Returns the files in a tar by name.
fn files(chunks: &[Chunk]) -> BTreeMap<String, Vec<u8>> {
    let tar: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect();
    assert_eq!(tar[tar.len() - 1024..], [0; 1024]);
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), content);
        }
    }
    files
}

/// Returns the checksum of each file, put together from its pieces.
fn sums(chunks: &[Chunk]) -> BTreeMap<String, u32> {
    let mut sums = BTreeMap::new();
    let mut sum = 0;
    for piece in chunks.iter().flat_map(|chunk| &chunk.files) {
        sum = crc32c::crc32c_combine(sum, piece.crc32c, piece.bytes);
        if piece.is_last {
            sums.insert(piece.member.name.to_str().unwrap().to_owned(), std::mem::take(&mut sum));
        }
    }
    sums
}

fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|at| ((at + seed) * 31 / 7 % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tar_has_every_file_and_its_chunks_are_frames() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = BTreeMap::new();
    let sizes = [0, 1, 511, 512, 513, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES - 512, 3 * CHUNK_BYTES + 77];
    for (number, bytes) in sizes.into_iter().chain(std::iter::repeat_n(700, 100)).enumerate() {
        let (name, content) = (format!("file{number:03}"), pattern(bytes, number));
        fs::write(directory.path().join(&name), &content).unwrap();
        expected.insert(name, content);
    }
    let chunks = chunks(copy_of(directory.path())).await;
    assert_eq!(files(&chunks), expected);
    let sums = sums(&chunks);
    assert!(expected.iter().all(|(name, content)| sums[name] == crc32c::crc32c(content)));
    // Those with large files are complete frames, which aren't copied.
    let mut position = 0;
    for chunk in &chunks {
        let room = CHUNK_BYTES - position % CHUNK_BYTES;
        assert!(chunk.data.len() <= room && chunk.files.len() <= 96);
        position += chunk.data.len();
    }
    assert!(chunks.iter().filter(|chunk| chunk.data.len() == CHUNK_BYTES).count() >= 5);
}

#[test]
fn a_file_that_shrinks_is_filled_up_and_one_that_grows_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let before = pattern(CHUNK_BYTES + 1000, 0);
    let names = ["growing", "shrinking", "vanishing"];
    for name in names {
        fs::write(directory.path().join(name), &before).unwrap();
    }
    let mut plans = Vec::new();
    let mut keep = |plan: Plan| {
        plans.push(plan);
        Ok(())
    };
    let mut planner = Planner::new(0, &mut keep);
    planner.tree(&tree(directory.path())).unwrap();
    std::os::unix::fs::symlink("growing", directory.path().join("link")).unwrap();
    let link = Path::new("link");
    assert!(planner.file(link, &directory.path().join(link), link.into(), None).is_err());
    let absent = Path::new("absent");
    assert!(!planner.file(absent, &directory.path().join(absent), absent.into(), None).unwrap());
    planner.end().unwrap();
    planner.finish().unwrap();
    // From here on the sizes are known, and nothing has been read.
    let change = |name| OpenOptions::new().append(true).open(directory.path().join(name)).unwrap();
    change("growing").write_all(b"more").unwrap();
    let kept = CHUNK_BYTES / 2;
    change("shrinking").set_len(kept as u64).unwrap();
    fs::remove_file(directory.path().join("vanishing")).unwrap();

    let pool = used_pool();
    let read = |plan| chunk::read(plan, pool.take(), None).unwrap();
    let chunks: Vec<_> = plans.into_iter().map(read).collect();
    let files = files(&chunks);
    assert_eq!(files.keys().collect::<Vec<_>>(), names);
    assert_eq!(files["growing"], before);
    assert_eq!(files["vanishing"], before);
    assert_eq!(files["shrinking"], [&before[..kept], &vec![0; before.len() - kept]].concat());
    let sums = sums(&chunks);
    assert!(files.iter().all(|(name, content)| sums[name] == crc32c::crc32c(content)));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pages_are_found_wherever_the_chunks_end() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("base/5")).unwrap();
    let path = directory.path().join("base/5/16384.1");
    // New pages, which pass, but for two; the second one extends from the first chunk into the second.
    let across = CHUNK_BYTES / PAGE - 1;
    let file = File::create(&path).unwrap();
    file.set_len(2 * CHUNK_BYTES as u64 + 100).unwrap();
    for block in [3, across] {
        file.write_all_at(&[7; PAGE], (block * PAGE) as u64).unwrap();
    }
    fs::copy(&path, directory.path().join("16384")).unwrap();
    let chunks = chunks(copy_of(directory.path())).await;
    let damaged = chunks
        .iter()
        .flat_map(|chunk| &chunk.files)
        .flat_map(|piece| piece.damaged.iter().map(|page| (piece.member.name.to_str().unwrap(), page.block)));
    let expected = [3, across].map(|block| ("base/5/16384.1", block as u64));
    assert_eq!(damaged.collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_ends_the_backup_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let name = "n".repeat(120);
    fs::write(directory.path().join(&name), "").unwrap();
    let error = copy_of(directory.path()).next().await.unwrap_err();
    assert!(error.to_string().contains(&name) && error.to_string().contains("99 bytes"), "{error}");
}
