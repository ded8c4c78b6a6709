//! Makes a restored directory durable, and learns of everything that couldn't be written.

use std::{fs::File, io};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{FileType, Mode, OFlags, openat, syncfs},
};

use super::entries::entries;

/// The first version of Linux in which `syncfs` fails if data couldn't be written.
const SYNCFS_REPORTS: (u32, u32) = (5, 8);

/// Makes everything below a directory durable, with one call for its file system. Where that call doesn't report what
/// failed, every file is asked for it.
pub(super) fn make_durable(directory: BorrowedFd<'_>) -> io::Result<()> {
    syncfs(directory)?;
    let system = rustix::system::uname();
    match syncfs_reports(&system.release().to_string_lossy()) {
        true => Ok(()),
        // Nothing is left to be written, so this takes little time.
        false => sync_all(directory),
    }
}

/// Whether `syncfs` reports failures in this release of Linux. If it isn't known, it doesn't.
fn syncfs_reports(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= SYNCFS_REPORTS,
        _ => false,
    }
}

/// Makes every file and directory durable. Links aren't followed.
fn sync_all(directory: BorrowedFd<'_>) -> io::Result<()> {
    for (name, kind) in entries(directory)? {
        match kind {
            FileType::Directory => {
                sync_all(opened(directory, &name, OFlags::DIRECTORY)?.as_fd())?;
            }
            FileType::RegularFile => File::from(opened(directory, &name, OFlags::empty())?).sync_all()?,
            _ => {}
        }
    }
    rustix::fs::fsync(directory).map_err(io::Error::from)
}

fn opened(directory: BorrowedFd<'_>, name: &[u8], more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
    openat(directory, name, flags, Mode::empty()).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn syncfs_reports_failures_from_linux_5_8_on() {
        for release in ["5.8.0-generic", "5.10.0", "6.1.0-13-amd64", "10.0"] {
            assert!(syncfs_reports(release), "{release}");
        }
        for release in ["5.7.19", "4.18.0-553.el8_10.x86_64", "3.10.0-1160.el7", "odd", ""] {
            assert!(!syncfs_reports(release), "{release}");
        }
    }

    #[test]
    fn every_file_is_synced_whatever_it_is_called_and_no_link_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let inner = scratch.path().join("base/odd \n name");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("1"), "x").unwrap();
        symlink("/nonexistent", scratch.path().join("link")).unwrap();
        let directory = File::open(scratch.path()).unwrap();
        sync_all(directory.as_fd()).unwrap();
        make_durable(directory.as_fd()).unwrap();
    }
}
