//! Sizes in options.

/// The units: PostgreSQL's, and their first letters.
const UNITS: [(&str, u32); 9] =
    [("kB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("k", 10), ("K", 10), ("M", 20), ("G", 30), ("T", 40)];

/// Parses a number of bytes, or with a unit such as `500M`, `4G` or `4GB`, which is a power of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, &'static str> {
    let problem = "give a number of bytes, or a number with a unit: 500M or 4G";
    let with_unit = |(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), shift));
    let (number, shift) = UNITS.into_iter().find_map(with_unit).unwrap_or((text, 0));
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(problem);
    }
    let number: u64 = number.parse().map_err(|_| problem)?;
    number.checked_mul(1 << shift).ok_or(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_in_bytes_unless_it_has_a_unit() {
        for (text, size) in [
            ("0", 0),
            ("16777216", 16 << 20),
            ("64k", 64 << 10),
            ("500M", 500 << 20),
            ("4 GB", 4 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "4GiB", "four", "18446744073709551615k"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
