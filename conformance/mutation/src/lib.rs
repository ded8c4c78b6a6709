//! Runs a fuzzing target on mutations of valid examples, the same ones each time.
//!
//! The examples are in `fuzz/corpus/TARGET`, where libFuzzer uses them, too. The unit tests of each parser call
//! [`check`].

use std::{fs, ops::Range, path::PathBuf};

use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{RngAlgorithm, TestError, TestRng, TestRunner},
};

/// The number of mutations for each target.
const CASES: u32 = 1000;
/// Bytes that parsers treat specially: ends of ranges, signs, digits and punctuation.
const SPECIAL: &[u8] = b"\x00\x01\x7f\x80\xff\n\r\t #'\"\\/=-.:,[]{}0123456789Ee";
/// Numbers that make arithmetic overflow.
const NUMBERS: [&str; 6] =
    ["18446744073709551615", "18446744073709551616", "9223372036854775807", "4294967295", "-1", "1e400"];

/// A change to an example. Positions are relative to its length.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Fill(Index, usize, u8),
    Cut(Index),
}

/// Calls `target` with each example of the corpus `name`, and then with mutations of them.
///
/// # Panics
///
/// If the target panics, with the smallest input found; and if there are no examples.
pub fn check(name: &str, target: fn(&[u8])) {
    let examples = examples(name);
    assert!(!examples.is_empty(), "fuzz/corpus/{name} has no examples");
    examples.iter().for_each(|example| target(example));
    target(b"");
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let mutations = (select(examples), prop::collection::vec(edits(), 1..6));
    let inputs =
        mutations.prop_map(|(example, edits)| edits.iter().fold(example, |bytes, edit| edit.of(bytes)));
    match runner.run(&inputs, |bytes| {
        target(&bytes);
        Ok(())
    }) {
        Ok(()) => {}
        Err(TestError::Fail(reason, bytes)) => {
            panic!("{name}: {reason}, for the {} bytes b\"{}\"", bytes.len(), bytes.escape_ascii())
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Returns an example of the corpus `name`, for tests that need a valid one.
///
/// # Panics
///
/// If there is no such example.
#[must_use]
pub fn example(name: &str, file: &str) -> Vec<u8> {
    fs::read(corpus(name).join(file)).unwrap_or_else(|error| panic!("fuzz/corpus/{name}/{file}: {error}"))
}

fn corpus(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus")).join(name)
}

/// Returns the files of a corpus, ordered by name.
fn examples(name: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(corpus(name)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = files.map(|file| file.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn edits() -> impl Strategy<Value = Edit> {
    let byte = || prop_oneof![any::<u8>(), select(SPECIAL)];
    let place = any::<Index>;
    let number = select(&NUMBERS[..]).prop_map(|number| number.as_bytes().to_vec());
    let text = prop_oneof![prop::collection::vec(byte(), 1..8), number];
    prop_oneof![
        6 => (place(), byte()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        3 => (place(), text).prop_map(|(at, text)| Edit::Insert(at, text)),
        3 => (place(), 1..20usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        2 => (place(), 1..600usize).prop_map(|(at, count)| Edit::Repeat(at, count)),
        2 => (place(), 1..16usize, byte()).prop_map(|(at, count, byte)| Edit::Fill(at, count, byte)),
        1 => place().prop_map(Edit::Cut),
    ]
}

impl Edit {
    fn of(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() {
            return bytes;
        }
        let length = bytes.len();
        let range = |at: &Index, count: usize| -> Range<usize> {
            let start = at.index(length);
            start..length.min(start + count)
        };
        match self {
            Self::Set(at, byte) => bytes[at.index(length)] = *byte,
            Self::Fill(at, count, byte) => bytes[range(at, *count)].fill(*byte),
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Remove(at, count) => drop(bytes.drain(range(at, *count))),
            Self::Repeat(at, count) => {
                let range = range(at, *count);
                let copy = bytes[range.clone()].to_vec();
                drop(bytes.splice(range.end..range.end, copy));
            }
            Self::Insert(at, text) => {
                let at = at.index(length);
                drop(bytes.splice(at..at, text.iter().copied()));
            }
        }
        bytes
    }
}
