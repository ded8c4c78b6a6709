//! Whose a directory is, and how a message names that user.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::root::Owner;

/// Who shall own everything that is restored into `data`, where this program runs as root: the owner of the directory, or
/// of its parent if it is absent.
pub(super) fn owner(data: &Path) -> io::Result<Option<Owner>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let model = if data.try_exists()? { data.to_owned() } else { parent(data)? };
    let model = fs::metadata(model)?;
    Ok(Some((model.uid(), model.gid())))
}

/// The name of the user who owns `path`, or what is nearest above it.
pub(super) fn owner_name(path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).ok()?;
    let uid = absolute.ancestors().find_map(|path| fs::metadata(path).ok())?.uid();
    Some(user_name(uid))
}

/// The directory that `path` lies in.
pub(super) fn parent(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    Ok(absolute.parent().unwrap_or(&absolute).to_owned())
}

/// The name of a user as `sudo -u` takes it: `#70` for one that `/etc/passwd` doesn't know.
fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&users, uid).map_or_else(|| format!("#{uid}"), str::to_owned)
}

fn name_in(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_the_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nodd\npostgres:x:107:112::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(name_in(users, 107), Some("postgres"));
        assert_eq!(name_in(users, 108), None);
        assert_eq!(user_name(4_000_000_000), "#4000000000");
    }
}
