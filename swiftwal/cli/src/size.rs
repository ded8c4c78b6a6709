//! Sizes in bytes, as text for people.

use std::fmt;

/// A number of bytes, displayed as `512 bytes` or `2.72 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 {
            return f.pad("1 byte");
        }
        if self.0 < 1024 {
            return f.pad(&format!("{} bytes", self.0));
        }
        let mut size = self.0 as f64 / 1024.0;
        let mut unit = "KiB";
        for larger in ["MiB", "GiB", "TiB"] {
            // 1023.999 MiB would be printed as 1024.00 MiB.
            if size >= 1023.995 {
                (size, unit) = (size / 1024.0, larger);
            }
        }
        f.pad(&format!("{size:.2} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_decimals_from_a_kibibyte_on() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.00 KiB"),
            (2_852_127, "2.72 MiB"),
            ((1 << 20) - 1, "1.00 MiB"),
            (3 << 30, "3.00 GiB"),
            (5 << 50, "5120.00 TiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
