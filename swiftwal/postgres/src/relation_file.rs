//! The names of the files of relations.
//!
//! Source: `parse_filename_for_nontemp_relation` and `looks_like_temp_rel_name` in PostgreSQL's
//! `src/backend/storage/file/reinit.c` and `fd.c`.

/// The most digits of a relation's number.
const MOST_DIGITS: usize = 10;

/// The name of a file of a relation: `16384`, `16384.1`, `16384_fsm`, `16384_init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RelationFile<'a> {
    /// The relation's file number, as it is written.
    pub(crate) number: &'a str,
    /// The fork; `None` for the main one.
    pub(crate) fork: Option<&'a str>,
    /// The number of the segment.
    pub(crate) segment: u32,
}

impl<'a> RelationFile<'a> {
    /// Parses the name of a file; `None` if it isn't that of a permanent or unlogged relation.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (rest, segment) = segment(name)?;
        let (number, fork) = fork(rest)?;
        let is_number = number.len() <= MOST_DIGITS && is_digits(number);
        is_number.then_some(Self { number, fork, segment })
    }
}

/// Whether a file belongs to a temporary relation: `t3_16384`, `t3_16384_fsm.1`.
pub(crate) fn is_temporary(name: &str) -> bool {
    let parts = || {
        let (backend, rest) = name.strip_prefix('t')?.split_once('_')?;
        let (rest, _) = segment(rest)?;
        let (number, _) = fork(rest)?;
        Some((backend, number))
    };
    parts().is_some_and(|(backend, number)| is_digits(backend) && is_digits(number))
}

fn segment(name: &str) -> Option<(&str, u32)> {
    match name.split_once('.') {
        None => Some((name, 0)),
        Some((rest, segment)) if is_digits(segment) => Some((rest, segment.parse().ok()?)),
        Some(_) => None,
    }
}

fn fork(name: &str) -> Option<(&str, Option<&str>)> {
    match name.split_once('_') {
        None => Some((name, None)),
        Some((number, fork @ ("fsm" | "vm" | "init"))) => Some((number, Some(fork))),
        Some(_) => None,
    }
}

pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_relations_are_told_from_others() {
        let file = |number, fork, segment| Some(RelationFile { number, fork, segment });
        for (name, expected) in [
            ("16384", file("16384", None, 0)),
            ("16384.12", file("16384", None, 12)),
            ("1_fsm", file("1", Some("fsm"), 0)),
            ("4294967295_vm.1", file("4294967295", Some("vm"), 1)),
            ("16384_init", file("16384", Some("init"), 0)),
            ("42949672950", None),
            ("16384_", None),
            ("16384_odd", None),
            ("16384.", None),
            ("16384.x", None),
            ("t3_16384", None),
            ("PG_VERSION", None),
            ("pg_filenode.map", None),
            ("", None),
        ] {
            assert_eq!(RelationFile::parse(name), expected, "{name}");
        }
    }

    #[test]
    fn the_files_of_temporary_relations_are_told_from_others() {
        for name in ["t3_16384", "t12_16384_fsm", "t3_16384.1", "t3_16384_vm.2"] {
            assert!(is_temporary(name), "{name}");
        }
        for name in ["t3", "t_16384", "t3_", "t3_x", "3_16384", "t3_16384_odd", "t3_16384.", "table_1"] {
            assert!(!is_temporary(name), "{name}");
        }
    }
}
