//! Checks the files of a tar in threads: each against its hash in the index, its pages, and, for WAL, its page chain.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use swiftwal_postgres::{DamagedPage, Lsn, PageChain, PageChainError, RelationPages, SegmentName, printable};

use super::damage::Named;
use crate::repository::{
    file_check::{Differs, FileCheck},
    file_threads::{FilePiece, TakeFiles},
    manifest::{FileSum, RestoredFiles},
};

/// A file to check.
#[derive(Debug)]
pub(super) struct CheckedFile {
    pub(super) name: Vec<u8>,
    /// The hash of its content, if it is known.
    pub(super) expected: Option<blake3::Hash>,
    /// Its pages, if it is a relation's.
    pub(super) pages: Option<RelationPages>,
    /// The segment that it is, if the backup needs it.
    pub(super) segment: Option<SegmentName>,
}

/// What the threads find. They share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Arc<Mutex<Found>>);

/// What was found about the files of a tar.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files whose content isn't what was backed up.
    pub(super) differing: Named,
    /// The files that PostgreSQL doesn't write so.
    pub(super) invalid: Named,
    /// The damaged pages.
    pub(super) damaged_pages: Named,
    /// How many pages were checked.
    pub(super) pages: u64,
    /// The segments, and what is wrong with each.
    pub(super) segments: BTreeMap<SegmentName, Option<String>>,
}

impl Findings {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was found.
    pub(super) fn take(&self) -> Found {
        std::mem::take(&mut *self.lock())
    }
}

/// Checks one file after another.
#[derive(Debug)]
pub(super) struct FileChecker {
    files: RestoredFiles,
    findings: Findings,
    /// Up to where the backup needs its WAL.
    stop: Lsn,
    current: Option<Open>,
    damaged: Vec<DamagedPage>,
}

#[derive(Debug)]
struct Open {
    name: Vec<u8>,
    check: FileCheck,
    pages: Option<RelationPages>,
    chain: Option<(SegmentName, PageChain)>,
}

impl FileChecker {
    /// `files` says what is compared with PostgreSQL's manifest.
    pub(super) fn new(files: RestoredFiles, findings: Findings, stop: Lsn) -> Self {
        Self { files, findings, stop, current: None, damaged: Vec::new() }
    }

    fn note_segment(&self, segment: SegmentName, checked: Result<(), PageChainError>) {
        let is_needed = |error: &PageChainError| match error {
            PageChainError::Page { expected, .. } | PageChainError::Foreign(expected) => {
                *expected < self.stop
            }
            _ => true,
        };
        let wrong = checked.err().filter(is_needed).map(|error| error.to_string());
        self.findings.lock().segments.entry(segment).or_insert(wrong);
    }

    fn end(&mut self, file: Open) {
        let Open { name, check, pages, chain } = file;
        let shown = || printable(&name).to_string();
        if check.finish(&name, &mut self.files) == Err(Differs) {
            self.findings.lock().differing.add(shown);
        }
        if let Some((segment, chain)) = chain {
            let checked = chain.finish().and_then(|(header, _)| Ok(header.check_name(segment)?));
            self.note_segment(segment, checked);
        }
        match pages.map(RelationPages::finish) {
            Some(Ok(pages)) => self.findings.lock().pages += pages,
            Some(Err(error)) => self.findings.lock().invalid.add(|| format!("{} {error}", shown())),
            None => {}
        }
    }
}

impl TakeFiles for FileChecker {
    type File = CheckedFile;
    type Failure = Infallible;

    fn take(&mut self, piece: FilePiece<CheckedFile>) -> Result<(), Infallible> {
        if let Some(CheckedFile { name, expected, pages, segment }) = piece.begins {
            let check = FileCheck::new(expected, self.files.checksum(&name));
            let chain = segment.map(|segment| (segment, PageChain::default()));
            self.current = Some(Open { name, check, pages, chain });
        }
        let Some(mut file) = self.current.take() else { return Ok(()) };
        file.check.add(&piece.data);
        if let Some(pages) = &mut file.pages {
            let pushed = pages.push(&piece.data, &mut self.damaged);
            let mut found = self.findings.lock();
            for page in self.damaged.drain(..) {
                found.damaged_pages.add(|| format!("block {} of {}", page.block, printable(&file.name)));
            }
            if let Err(error) = pushed {
                found.invalid.add(|| format!("{} {error}", printable(&file.name)));
                file.pages = None;
            }
        }
        if let Some((segment, chain)) = &mut file.chain {
            let (segment, pushed) = (*segment, chain.push(&piece.data));
            if pushed.is_err() {
                self.note_segment(segment, pushed);
                file.chain = None;
            }
        }
        if piece.is_last {
            self.end(file);
        } else {
            self.current = Some(file);
        }
        Ok(())
    }

    fn finish(self) -> FileSum {
        self.files.sum
    }
}
