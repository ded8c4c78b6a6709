//! The names of this machine's users, for messages.

use std::fs;

/// Returns the name of a user as `sudo -u` accepts it: `#70` for a user that isn't in `/etc/passwd`.
#[must_use]
pub fn user_name(uid: u32) -> String {
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
