//! drill without a server.

use crate::site::Site;

#[test]
fn root_is_refused_with_the_way_out() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    let key = site.store_backup();
    let ran = site.run(&["drill", &key]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("PostgreSQL doesn't run as root") && ran.stderr.contains("sudo -u postgres"));
}

#[test]
fn wrong_options_are_refused_with_what_is_accepted() {
    let site = Site::new();
    for (options, word) in [
        (&["--keep-free", "much"][..], "500M or 4G"),
        (&["--jobs", "0"], "at least 1"),
        (&["--sql-database", "shop"], "--sql <FILE>"),
        (&["--target-time", "yesterday"], "is not a point in time"),
        (&["--target-xid", "5", "--target-immediate"], "cannot be used with"),
    ] {
        let ran = site.run(&[&["drill"], options].concat());
        assert!(ran.code == 2 && ran.stderr.contains(word), "{ran:?}");
    }
}
