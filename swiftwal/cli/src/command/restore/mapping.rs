//! The value of `--tablespace-mapping`.

use std::path::{Path, PathBuf};

/// Parses `OLD=NEW`, in which `\=` stands for a '=' that belongs to a path, as in pg_basebackup.
pub(super) fn mapping(text: &str) -> Result<(PathBuf, PathBuf), &'static str> {
    let separator = text.match_indices('=').map(|(at, _)| at).find(|at| !text[..*at].ends_with('\\'));
    let separator = separator.ok_or("it has no '=' between two directories")?;
    let [old, new] = [&text[..separator], &text[separator + 1..]].map(|path| path.replace("\\=", "="));
    if Path::new(&old).is_absolute() && Path::new(&new).is_absolute() {
        Ok((old.into(), new.into()))
    } else {
        Err("both directories must be absolute paths")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equals_sign_behind_a_backslash_belongs_to_the_path() {
        for (text, old, new) in [
            ("/srv/fast=/new", "/srv/fast", "/new"),
            (r"/srv/a\=b=/new", "/srv/a=b", "/new"),
            (r"/srv/a=/new/c\=d", "/srv/a", "/new/c=d"),
            (r"/srv/a=/new/c=d", "/srv/a", "/new/c=d"),
            (r"/srv/a\b=/new", r"/srv/a\b", "/new"),
        ] {
            assert_eq!(mapping(text), Ok((old.into(), new.into())), "{text}");
        }
    }

    #[test]
    fn a_mapping_without_two_absolute_paths_is_refused() {
        for text in ["/srv/fast", r"/srv/fast\=/new", "srv=/new", "/srv=new", "=/new"] {
            assert!(mapping(text).is_err(), "{text}");
        }
    }
}
